//! Three servers, and what can be done to one of them.
//!
//! The victim runs in a network namespace of its own, at the other end of a pair of virtual interfaces, where the machine
//! allows that; `scripts/faults.sh` gives this program namespaces that vanish with it. Taking the far interface down
//! then drops every packet both ways, and nobody is told: neighbours are entered by hand, so not even they go missing.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rendis_testkit::{Client, RedisServer};
use tokio::time::Instant;

/// What is done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL; later started again, empty.
    Killed,
    /// Killed and started again at once, empty.
    Restarted,
    /// SIGSTOP; later SIGCONT.
    Frozen,
    /// All packets dropped, both ways.
    CutOff,
    /// Started again with a password that nobody told; later without.
    Password,
    /// `maxmemory` reached, without eviction.
    Full,
    /// A script runs for seconds, and the server answers `BUSY` meanwhile.
    Script,
    /// A script runs for seconds, and the server answers nothing.
    SilentScript,
}

impl Fault {
    pub(crate) const ALL: [Self; 8] = [
        Self::Killed,
        Self::Restarted,
        Self::Frozen,
        Self::CutOff,
        Self::Password,
        Self::Full,
        Self::Script,
        Self::SilentScript,
    ];

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Killed => "killed (SIGKILL), restarted later",
            Self::Restarted => "restarted empty at once",
            Self::Frozen => "frozen (SIGSTOP), continued later",
            Self::CutOff => "cut off (packets dropped)",
            Self::Password => "restarted with a password",
            Self::Full => "full (maxmemory, noeviction)",
            Self::Script => "busy with a script, says so",
            Self::SilentScript => "busy with a script, silent",
        }
    }

    /// Whether the shard has to leave the ring; `None` where both are right.
    pub(crate) const fn ejects(self) -> Option<bool> {
        match self {
            Self::Killed | Self::Frozen | Self::CutOff | Self::Password => Some(true),
            Self::Full | Self::Script => Some(false),
            Self::Restarted | Self::SilentScript => None,
        }
    }

    /// Whether the server still has afterwards what it held before.
    pub(crate) const fn keeps_data(self) -> bool {
        !matches!(self, Self::Killed | Self::Restarted | Self::Password)
    }
}

/// The servers.
pub(crate) struct Stage {
    pub(crate) servers: Vec<RedisServer>,
    network: Option<Network>,
    script: Option<Client>,
}

/// The victim's place in the list.
pub(crate) const VICTIM: usize = 1;

impl Stage {
    pub(crate) fn new() -> Self {
        let network = Network::new();
        let servers = thread::scope(|scope| {
            let start = |at| {
                let builder = RedisServer::builder().setting("maxclients", "2000");
                match &network {
                    Some(_) if at == VICTIM => builder.within(NAMESPACE, FAR).start(),
                    _ => builder.start(),
                }
            };
            let starting: Vec<_> = (0..3).map(|at| scope.spawn(move || start(at))).collect();
            starting.into_iter().map(|one| one.join().expect("a server")).collect()
        });
        Self { servers, network, script: None }
    }

    /// Whether this machine can do it.
    pub(crate) fn can(&self, fault: Fault) -> bool {
        fault != Fault::CutOff || self.network.is_some()
    }

    /// Empties all servers.
    pub(crate) fn clear(&self) {
        for server in &self.servers {
            assert!(server.command(&["FLUSHALL"]).is_ok(), "FLUSHALL");
            assert!(server.command(&["SCRIPT", "FLUSH"]).is_ok(), "SCRIPT FLUSH");
        }
    }

    /// Connections from outside to each server.
    pub(crate) fn connections(&self) -> Vec<usize> {
        let count = |server: &RedisServer| {
            let list = server.command(&["CLIENT", "LIST"]);
            list.text().lines().filter(|line| !line.contains(" addr=/")).count()
        };
        self.servers.iter().map(count).collect()
    }

    /// Begins a fault.
    pub(crate) fn begin(&mut self, fault: Fault) {
        let victim = &self.servers[VICTIM];
        match fault {
            Fault::Killed => victim.kill(),
            Fault::Restarted => victim.restart(),
            Fault::Frozen => victim.stop(),
            Fault::CutOff => self.network.as_ref().expect("a network").cut(),
            Fault::Password => victim.restart_with_password(Some("secret")),
            Fault::Full => self.set("maxmemory", "1"),
            Fault::Script | Fault::SilentScript => {
                let threshold = if fault == Fault::Script { "50" } else { "5000" };
                self.set("busy-reply-threshold", threshold);
                let mut client = victim.client().expect("a connection");
                client.send(&["EVAL", SCRIPT, "0"]).expect("sending a script");
                self.script = Some(client);
            }
        }
    }

    /// Ends it: since when the server can serve.
    pub(crate) fn end(&mut self, fault: Fault) -> Instant {
        let victim = &self.servers[VICTIM];
        match fault {
            Fault::Killed => victim.restart(),
            Fault::Restarted => {}
            Fault::Frozen => victim.cont(),
            Fault::CutOff => self.network.as_ref().expect("a network").mend(),
            Fault::Password => victim.restart_with_password(None),
            Fault::Full => self.set("maxmemory", "0"),
            Fault::Script | Fault::SilentScript => {
                let mut client = self.script.take().expect("a script that runs");
                let _ = client.read().expect("the script's answer");
            }
        }
        Instant::now()
    }

    fn set(&self, name: &str, value: &str) {
        let reply = self.servers[VICTIM].command(&["CONFIG", "SET", name, value]);
        assert!(reply.is_ok(), "CONFIG SET {name}: {reply}");
    }
}

/// Two ends of a wire, the far one in a namespace.
struct Network {
    near: String,
}

impl Network {
    /// `None` where the machine does not allow it, or where the namespaces would outlive this program.
    fn new() -> Option<Self> {
        std::env::var_os("RENDIS_FAULTS_PRIVATE_NETWORK")?;
        let (near, far) = (format!("{NEAR}/30"), format!("{FAR}/30"));
        let steps: [&[&str]; 8] = [
            &["netns", "add", NAMESPACE],
            &["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", NAMESPACE],
            &["addr", "add", &near, "dev", "near"],
            &["link", "set", "near", "up"],
            &["-n", NAMESPACE, "addr", "add", &far, "dev", "far"],
            &["-n", NAMESPACE, "link", "set", "lo", "up"],
            &["-n", NAMESPACE, "link", "set", "far", "up"],
            &["link", "show", "near"],
        ];
        if !steps.iter().all(|step| ip(step).is_some()) {
            return None;
        }
        let far_link = hardware(&ip(&["-n", NAMESPACE, "-br", "link", "show", "far"])?)?;
        let near_link = hardware(&ip(&["-br", "link", "show", "near"])?)?;
        let far_address = FAR.to_string();
        ip(&["neigh", "replace", &far_address, "lladdr", &far_link, "dev", "near", "nud", "permanent"])?;
        let network = Self { near: near_link };
        network.mend();
        Some(network)
    }

    fn cut(&self) {
        ip(&["-n", NAMESPACE, "link", "set", "far", "down"]).expect("the far interface goes down");
    }

    fn mend(&self) {
        ip(&["-n", NAMESPACE, "link", "set", "far", "up"]).expect("the far interface comes up");
        let address = NEAR.to_string();
        let neighbour = [
            "-n",
            NAMESPACE,
            "neigh",
            "replace",
            &address,
            "lladdr",
            &self.near,
            "dev",
            "far",
            "nud",
            "permanent",
        ];
        ip(&neighbour).expect("the near neighbour");
    }
}

fn ip(arguments: &[&str]) -> Option<String> {
    let output = Command::new("ip").args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The hardware address in a line of `ip -br link`.
fn hardware(line: &str) -> Option<String> {
    line.split_whitespace().find(|word| word.matches(':').count() == 5).map(str::to_owned)
}

const NAMESPACE: &str = "rendis-away";
const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));

/// Runs for three seconds.
const SCRIPT: &str = "local function now() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end \
                      local stop = now() + 3000 while now() < stop do end return 1";

/// How long a script runs.
pub(crate) const SCRIPT_RUNS: Duration = Duration::from_secs(3);
