//! A disk that fills up, at any byte.

use tidings::{
    storage::{Storage, StorageError},
    testing::MemoryDisk,
};

use crate::{
    model::{Known, Op, whole_commits},
    setup::Setup,
};

const SCRIPT: [Op; 15] = [
    Op::Synced,
    Op::Batch,
    Op::Upkeep,
    Op::Upkeep,
    Op::Large,
    Op::Upkeep,
    Op::Large,
    Op::Buffered,
    Op::Compact,
    Op::Huge,
    Op::Upkeep,
    Op::Trim,
    Op::Batch,
    Op::Compact,
    Op::Upkeep,
];

fn used(disk: &MemoryDisk) -> u64 {
    disk.files().iter().map(|path| disk.contents(path).unwrap().len() as u64).sum()
}

/// Runs the script with so much room. True: it sufficed.
fn suffices(setup: &Setup, room: u64) -> Result<bool, String> {
    let (disk, mut known, mut all) = (setup.disk.copy(), setup.known.clone(), true);
    disk.set_capacity(Some(used(&disk) + room));
    let storage = match setup.open(disk.clone()) {
        Ok(storage) => storage,
        Err(StorageError::Full { .. }) => {
            disk.set_capacity(None);
            all = false;
            setup.open(disk.clone()).map_err(|error| format!("open with room: {error}"))?
        }
        Err(error) => return Err(format!("open: {error:?}")),
    };
    for (at, op) in SCRIPT.into_iter().enumerate() {
        let commit = op.is_commit().then(|| known.begin(op));
        let again = commit.clone();
        let run = |commit, known: &mut Known| match commit {
            Some(commit) => storage.commit(commit).map(|_| ()),
            None => known.perform(op, &storage),
        };
        match run(commit, &mut known) {
            Ok(()) => {}
            Err(StorageError::Full { .. }) => {
                all = false;
                let found = whole_commits(&storage, &known)?;
                if found != known.acknowledged {
                    return Err(format!("{at}, {op:?}: {found} commits"));
                }
                disk.set_capacity(None);
                run(again, &mut known)
                    .map_err(|error| format!("{at}, {op:?} with room: {error:?}"))?;
                disk.set_capacity(Some(used(&disk) + room));
            }
            Err(error) => return Err(format!("{at}, {op:?}: {error:?}")),
        }
        known.acknowledge();
    }
    drop(storage);
    let found = setup.open(disk.after_power_loss(|_| false)).map_err(|error| error.to_string());
    let found = whole_commits(
        &found.or_else(|error| {
            disk.set_capacity(None);
            setup.open(disk.after_power_loss(|_| false)).map_err(|_| error)
        })?,
        &known,
    )?;
    if found < known.synced { Err(format!("{found} of {known:?}")) } else { Ok(all) }
}

#[test]
fn a_full_disk_refuses_without_harm_and_once_there_is_room_the_same_commit_succeeds() {
    for setup in [Setup::fresh(true), Setup::grown(true), Setup::grown(false)] {
        let mut room = 0;
        loop {
            match suffices(&setup, room) {
                Ok(true) => break,
                Ok(false) => room += 37,
                Err(error) => panic!("with {room} bytes: {error}"),
            }
        }
        println!("{room} bytes suffice");
    }
}
