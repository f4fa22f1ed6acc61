//! `verify` and `salvage` on damaged stores.

use std::{fs, sync::Arc};

use crate::{
    run::run,
    shop::{Shop, batch_of, bill, close, damage, open, place},
};

#[test]
fn each_state_of_a_store_has_its_code() {
    let shop = Shop::with(100);
    run(&["verify"], &shop.dir, &[]).ends_with(0).says("clean: 100 events");
    let clean = run(&["verify", "--json"], &shop.dir, &[]).ends_with(0).object();
    assert_eq!((&clean["verdict"], &clean["problems"]), (&"clean".into(), &serde_json::json!([])));

    let torn = Shop::new();
    let bus = torn.open();
    place(&bus, 1..=5);
    let segment = torn.segments().remove(0);
    let (start, end) = batch_of(&segment, 5).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[start + 20..end].fill(0);
    let copy = Shop::new();
    for part in ["segments", "state"] {
        fs::create_dir_all(copy.dir.join(part)).unwrap();
    }
    fs::copy(torn.dir.join("MANIFEST"), copy.dir.join("MANIFEST")).unwrap();
    fs::write(copy.dir.join("segments").join(segment.file_name().unwrap()), bytes).unwrap();
    run(&["verify"], &copy.dir, &[]).ends_with(1).says("torn tail: 4 events");
    close(&bus);

    damage(&shop, 50);
    let found = run(&["verify", "--json"], &shop.dir, &[]).ends_with(2).object();
    assert_eq!(found["verdict"], "corrupt");
    let problem = &found["problems"][0];
    assert_eq!(problem["positions"], serde_json::json!({"first": 50, "last": 50}));
    assert_eq!((&problem["acknowledged"], &problem["exact"]), (&true.into(), &true.into()));
    run(&["verify"], &shop.dir, &[]).ends_with(2).says("positions 50 to 50 are lost");
    run(&["dump"], &shop.dir, &[]).ends_with(2).says("tidings salvage").says("key=49");

    let mut manifest = fs::read(shop.dir.join("MANIFEST")).unwrap();
    manifest[8] = 7;
    fs::write(shop.dir.join("MANIFEST"), manifest).unwrap();
    run(&["info"], &shop.dir, &[]).ends_with(3).says("format version 7");
    run(&["verify"], &shop.dir, &[]).ends_with(2).says("another version");
    fs::remove_dir_all(shop.dir.join("segments")).unwrap();
    run(&["verify"], &shop.dir, &[]).ends_with(3).says("format version 7");
}

#[test]
fn a_damaged_middle_is_rescued_on_terms_and_subscriptions_go_on() {
    let shop = Shop::with(100);
    damage(&shop, 51);
    damage(&shop, 50);
    let before = shop.image();
    let into = shop.other.to_str().unwrap();
    let refused = run(&["salvage"], &shop.dir, &["--into", into]).ends_with(4);
    refused.says("--accept-loss 50..=51").says("what is lost is not what was accepted");
    assert!(!shop.other.exists());
    for wrong in ["50", "49..=51", "50..=52", "1..=100"] {
        run(&["salvage", "--accept-loss", wrong], &shop.dir, &["--into", into]).ends_with(4);
    }
    let refused = run(&["salvage", "--json"], &shop.dir, &["--into", into]).ends_with(4).object();
    assert_eq!((&refused["salvaged"], &refused["lost"]), (&false.into(), &"50..=51".into()));
    let done = run(&["salvage", "--accept-loss", "50..52"], &shop.dir, &["--into", into]);
    done.ends_with(0).says("rescued: 98 events, from 1 to before 101").says("lost: 50..=51");
    assert_eq!(shop.image(), before);

    run(&["verify"], &shop.other, &[]).ends_with(0).says("clean: 100 events");
    let all = run(&["dump", "--json"], &shop.other, &[]).ends_with(0).objects();
    for (event, position) in all.iter().zip(1_u64..) {
        assert_eq!(event["position"], position);
        let lost = position == 50 || position == 51;
        assert_eq!(event["name"], if lost { "tidings.lost" } else { "orders.placed" });
        assert!(lost || event["payload"]["order"] == position);
    }
    let again = run(&["salvage"], &shop.dir, &["--into", into, "--accept-loss", "50..=51"]);
    again.ends_with(4).says("is not empty");

    let bus = open(&shop.other);
    let handled = Arc::default();
    let _billing = bill(&bus, &handled);
    place(&bus, 101..=110);
    assert!(bus.wait_idle(crate::shop::SOON));
    handled.lock().sort_unstable();
    assert_eq!(*handled.lock(), [101, 102, 104, 105, 106, 107, 108, 109, 110]);
    assert_eq!(bus.dead_letters("billing").list().unwrap().len(), 11);
    close(&bus);
    let cursors = run(&["cursors", "--json"], &shop.other, &[]).ends_with(0).object();
    assert_eq!(cursors["lag"], 0);
}

#[test]
fn a_store_in_use_is_not_rescued() {
    let shop = Shop::new();
    let bus = shop.open();
    place(&bus, 1..=3);
    let into = shop.other.to_str().unwrap();
    let refused = run(&["salvage"], &shop.dir, &["--into", into]).ends_with(4);
    refused.says(&format!("in use by process {}", std::process::id()));
    close(&bus);
    run(&["salvage"], &shop.dir, &["--into", into]).ends_with(0);
}

#[test]
fn no_mess_makes_it_panic() {
    let whole = Shop::with(60);
    let mut files = whole.image();
    files.retain(|(path, _)| !path.ends_with("LOCK"));
    let mut dice = 7_u64;
    let mut below = |bound: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        usize::try_from(dice % bound as u64).unwrap()
    };
    for round in 0..25 {
        for _ in 0..=below(3) {
            let (path, bytes) = &files[below(files.len())];
            let mut bytes = bytes.clone();
            let (at, length) = (below(bytes.len()), below(300));
            let end = bytes.len().min(at + length);
            bytes[at..end].fill_with(|| u8::try_from(below(256)).unwrap());
            if below(4) == 0 {
                bytes.truncate(at);
            }
            fs::write(path, bytes).unwrap();
        }
        for command in [
            &["verify"][..],
            &["verify", "--json"],
            &["info"],
            &["dump", "--json"],
            &["tail"],
            &["cursors"],
        ] {
            let ran = run(command, &whole.dir, &[]);
            assert!((0..=4).contains(&ran.code), "round {round}: {ran:?}");
            if command.contains(&"--json") {
                ran.objects();
            }
        }
        run(&["dead-letters", "list"], &whole.dir, &["billing"]);
        run(&["salvage"], &whole.dir, &["--into", whole.other.to_str().unwrap()]);
        drop(fs::remove_dir_all(&whole.other));
        for (path, bytes) in &files {
            fs::write(path, bytes).unwrap();
        }
    }
    run(&["verify"], &whole.dir, &[]).ends_with(0);
}
