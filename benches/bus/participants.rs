//! Who takes part.

use tidings_bench::OURS;

use crate::{
    ours::Ours,
    peers::{HandMade, fjall::Fjall, jetstream, redis, sqlite::Sqlite},
    queue::Participant,
};

/// Everyone who is there. Says who is not.
pub(crate) fn present() -> Vec<Participant> {
    let mut present = vec![
        Participant { name: OURS, open: |dir, handler| Box::new(Ours::open(dir, handler)) },
        Participant {
            name: "fjall",
            open: |dir, handler| Box::new(HandMade::around(Fjall::open(dir), handler)),
        },
        Participant {
            name: "sqlite",
            open: |dir, handler| Box::new(HandMade::around(Sqlite::open(dir), handler)),
        },
    ];
    let servers = [("redis-always", redis::find()), ("jetstream", jetstream::find())];
    for (name, found) in servers {
        match found {
            Ok(open) => present.push(Participant { name, open }),
            Err(reason) => println!("{name} is not measured: {reason}"),
        }
    }
    present
}
