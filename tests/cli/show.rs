//! `info`, `tail`, `dump`, `cursors`.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use tidings::{
    Durability, Position,
    storage::{FileReader, Storage},
};

use crate::{
    run::{command, run},
    shop::{Shipped, Shop, bill, close, place},
};

#[test]
fn a_live_store_can_be_looked_at_and_is_not_changed() {
    let shop = Shop::new();
    let bus = shop.open();
    let _billing = bill(&bus, &std::sync::Arc::default());
    place(&bus, 1..=200);
    bus.publish(Shipped { order: 7 }).unwrap();
    assert!(bus.wait_idle(crate::shop::SOON));
    let lock = fs::read(shop.dir.join("LOCK")).unwrap();

    let info = run(&["info", "--json"], &shop.dir, &[]).ends_with(0).object();
    assert_eq!(
        (&info["closed"], &info["end"], &info["first"]),
        (&false.into(), &202.into(), &1.into())
    );
    assert!(info["segments"].as_array().unwrap().len() > 1);
    run(&["info"], &shop.dir, &[]).ends_with(0).says("201, from 1 to before 202").says("active");

    let last = run(&["tail", "--json", "-n", "3"], &shop.dir, &[]).ends_with(0).objects();
    assert_eq!(last.len(), 3);
    assert_eq!((&last[2]["position"], &last[2]["name"]), (&201.into(), &"orders.shipped".into()));
    let of = run(&["tail", "--json", "-n2", "--of", "orders.placed"], &shop.dir, &[]).objects();
    assert_eq!(of[1]["position"], 200);
    let key = run(&["tail", "--json", "--key", "7"], &shop.dir, &[]).objects();
    assert_eq!(key.len(), 2);

    let all = run(&["dump", "--json"], &shop.dir, &[]).ends_with(0).objects();
    assert_eq!(all.len(), 201);
    for (event, position) in all.iter().zip(1..).take(200) {
        assert_eq!(
            (&event["position"], &event["payload"]["order"]),
            (&position.into(), &position.into())
        );
        assert_eq!(event["payload"]["note"], "\u{1b}[2J\"quoted\"\n");
        assert_eq!((&event["key"], &event["version"]), (&position.to_string().into(), &2.into()));
        assert_eq!(event["headers"]["tenant"], "acme");
    }
    let human = run(&["dump"], &shop.dir, &["--from", "5", "--to", "7"]).ends_with(0);
    assert_eq!(human.out.lines().count(), 2);
    human.says("orders.placed v2 key=5 {\"order\":5,").says("\\u001b[2J");
    let since = all[100]["published_at"].as_str().unwrap();
    let late = run(&["dump", "--json", "--since", since], &shop.dir, &[]).ends_with(0).objects();
    let early = run(&["dump", "--json", "--until", since], &shop.dir, &[]).ends_with(0).objects();
    assert_eq!(late.len() + early.len(), 201);

    let cursors = run(&["cursors", "--json"], &shop.dir, &[]).ends_with(0).object();
    assert_eq!(
        (&cursors["subscription"], &cursors["dead_letters"]),
        (&"billing".into(), &20.into())
    );
    assert_eq!(cursors["lanes"].as_array().unwrap().len(), 2);
    run(&["cursors"], &shop.dir, &[]).ends_with(0).says("billing: lag ").says("lane 1: at ");

    run(&["verify"], &shop.dir, &[]).ends_with(0).says("clean: 201 events");
    assert_eq!(fs::read(shop.dir.join("LOCK")).unwrap(), lock);
    close(&bus);
    assert_eq!(run(&["info", "--json"], &shop.dir, &[]).object()["closed"], true);
}

#[test]
fn following_shows_what_comes() {
    let shop = Shop::new();
    let bus = shop.open();
    place(&bus, 1..=3);
    let mut child = command()
        .args(["tail", "--json", "--follow", "-n", "1"])
        .arg(&shop.dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next =
        || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["position"], 3);
    for order in 4..=150 {
        place(&bus, [order]);
        if order % 50 == 0 {
            (order - 49..=order)
                .filter(|at| *at > 3)
                .for_each(|at| assert_eq!(next()["position"], at));
        }
    }
    close(&bus);
    let bus = shop.open();
    place(&bus, [151]);
    assert_eq!(next()["position"], 151);
    child.kill().unwrap();
    child.wait().unwrap();
    close(&bus);
}

#[test]
fn a_reader_beside_a_busy_bus_sees_no_damage() {
    let shop = Shop::new();
    let storage = tidings::storage::FileStorage::builder(&shop.dir).segment_bytes(64 * 1024);
    let bus = tidings::Bus::builder()
        .storage(storage.open().unwrap())
        .durability(Durability::Buffered)
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| place(&bus, 1..=20_000));
        while !busy.is_finished() {
            let reader = FileReader::open(&shop.dir).unwrap();
            assert!(reader.end() >= Position::FIRST);
            let found = tidings::storage::file::verify(&shop.dir, |_| ()).unwrap();
            assert_eq!(found.losses().count(), 0, "{:?}", found.problems);
        }
    });
    close(&bus);
    run(&["verify"], &shop.dir, &[]).ends_with(0);
}

#[test]
fn whoever_stops_reading_is_not_told_off() {
    let shop = Shop::with(1000);
    let mut child = command()
        .arg("dump")
        .arg(&shop.dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}

#[test]
fn wrong_usage_and_what_is_no_store_have_codes_of_their_own() {
    let shop = Shop::with(3);
    let nowhere = shop.dir.join("nowhere");
    let commands: [&[&str]; 6] =
        [&["info"], &["tail"], &["dump"], &["verify"], &["cursors"], &["salvage", "--into", "x"]];
    for command in commands {
        run(command, &nowhere, &[]).ends_with(3).says("holds no store");
        assert!(!nowhere.exists());
    }
    run(&["dead-letters", "list"], &nowhere, &["billing"]).ends_with(3);
    run(&["dead-letters", "retry"], &nowhere, &["billing", "1"]).ends_with(3);
    assert!(!nowhere.exists());
    run(&["polish"], &shop.dir, &[]).ends_with(4);
    run(&["dump", "--from", "zero"], &shop.dir, &[]).ends_with(4).says("numbers from 1");
    run(&["dump", "--since", "yesterday"], &shop.dir, &[]).ends_with(4).says("is no time");
    let help = command().arg("--help").output().unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8(help.stdout).unwrap().contains("Exit codes:"));
}
