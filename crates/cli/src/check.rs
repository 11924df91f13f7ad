//! `rendis check`

use std::io::{self, Write};

use rendis_proxy::config::{self, Config, Secrets};

use crate::args::CheckArguments;
use crate::outcome::Failure;

/// Reads the configuration and says what it is.
pub(crate) fn run(arguments: &CheckArguments) -> Result<(), Failure> {
    let config = config::load(&arguments.file, Secrets::Read)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}: good", arguments.file.display())
        .and_then(|()| describe(&mut out, &config))
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
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
