//! What the log no longer has is an error, never a gap that nobody sees.

use tidings::{HistoryError, Position, Unread, storage::StorageError};

use crate::store::{Placed, Store, placed};

#[test]
fn what_is_no_longer_kept_is_told_once_and_the_rest_comes() {
    let bus = Store::new().open();
    for number in 0..2000 {
        bus.publish(placed(1, number)).unwrap();
    }
    let mut pasts = bus.history().of::<Placed>().into_iter();
    assert_eq!(pasts.next().unwrap().unwrap().cents, 0);
    let first = bus.trim(Position::new(1500).unwrap(), Unread::Keep).unwrap();
    assert!(first > Position::FIRST);

    // Without a beginning of one's own, what is kept is all there is.
    let kept: Vec<_> = bus.history().of::<Placed>().into_iter().map(Result::unwrap).collect();
    assert_eq!(kept.first().unwrap().position(), first);

    let mut asked = bus.history().of::<Placed>().from(Position::FIRST).into_iter();
    let wrong = asked.next().unwrap().unwrap_err();
    let is_told = |wrong: &HistoryError, wanted: Position| {
        matches!(wrong, HistoryError::Truncated { wanted: at, first: kept }
            if *at == wanted && *kept == first)
    };
    assert!(is_told(&wrong, Position::FIRST), "{wrong}");
    assert_eq!(asked.flatten().count(), kept.len());

    // One that was under way has the page in hand, and then tells.
    let (good, bad): (Vec<_>, Vec<_>) = pasts.partition(Result::is_ok);
    let positions: Vec<_> = good.iter().flatten().map(tidings::Past::position).collect();
    let gap = positions.windows(2).find(|pair| pair[1] != pair[0].next()).unwrap();
    assert_eq!((gap[1], positions.last().unwrap().next()), (first, bus.end()));
    let [Err(wrong)] = &bad[..] else { panic!("{} errors", bad.len()) };
    assert!(is_told(wrong, gap[0].next()), "{wrong}");
    let each = bus.history().of::<Placed>().from(Position::FIRST).each(|_, _| ());
    assert!(is_told(&each.unwrap_err(), Position::FIRST));
}

#[test]
fn failing_storage_ends_the_reading() {
    let bus = Store::new().open();
    for number in 0..2000 {
        bus.publish(placed(1, number)).unwrap();
    }
    let mut pasts = bus.history().of::<Placed>().into_iter();
    assert!(pasts.next().unwrap().is_ok());
    drop(bus);
    let wrong = pasts.by_ref().find_map(Result::err).unwrap();
    assert!(matches!(wrong, HistoryError::Storage(StorageError::Closed)), "{wrong}");
    assert!(pasts.next().is_none());
}
