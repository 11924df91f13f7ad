//! `rendis check`

use std::collections::HashMap;
use std::io::{self, Write};

use rendis_proxy::config::{self, Config, Secrets};
use rendis_proxy::serve;

use crate::args::CheckArguments;
use crate::outcome::{self, Failure};

/// Reads the configuration and says what it is. What is allowed and seldom meant is warned of.
pub(crate) fn run(arguments: &CheckArguments) -> Result<(), Failure> {
    let config = config::load(&arguments.file, Secrets::Read)?;
    serve::check(&config)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}: good", arguments.file.display())
        .and_then(|()| describe(&mut out, &config))
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))?;
    for warning in warnings(&config) {
        outcome::warn(&format_args!("{}: {warning}", arguments.file.display()));
    }
    Ok(())
}

fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(admin) = config.admin.as_ref().filter(|admin| !admin.is_local()) {
        warnings.push(format!(
            "admin: listen: \"{admin}\" may be reached by other machines, and the admin pages have no password"
        ));
    }
    for ring in &config.rings {
        let mut seen = HashMap::new();
        for shard in &ring.shards {
            let server = (&shard.url.address, shard.url.database);
            if let Some(first) = seen.insert(server, &shard.name) {
                warnings.push(format!(
                    "ring \"{}\": the shards \"{first}\" and \"{}\" are the same place: {}, database {}",
                    ring.name, shard.name, server.0, server.1
                ));
            }
        }
    }
    warnings
}

fn describe(out: &mut impl Write, config: &Config) -> io::Result<()> {
    if let Some(admin) = &config.admin {
        writeln!(out, "admin pages on {admin}")?;
    }
    for ring in &config.rings {
        let listen: Vec<_> = ring.listen.iter().map(ToString::to_string).collect();
        let shards = ring.shards.len();
        let noun = if shards == 1 { "shard" } else { "shards" };
        let (name, listen, like) = (&ring.name, listen.join(", "), ring.placement.like());
        writeln!(out, "ring {name}: on {listen}, {shards} {noun}, placed as by {like}")?;
    }
    Ok(())
}
