//! Mistakes of the bus that tests plant, to see that they would find them.

/// Makes the list twice, so that none can be left out of it.
macro_rules! mistakes {
    ($($(#[doc = $doc:literal])+ $mistake:ident,)+) => {
        /// A mistake of the bus. Tests that do not find it are not worth much.
        #[cfg_attr(not(any(test, feature = "testing")), allow(dead_code, unreachable_pub))]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Mistake {
            $($(#[doc = $doc])+ $mistake,)+
        }

        #[cfg(any(test, feature = "testing"))]
        impl Mistake {
            /// All of them, each with what is wrong.
            pub const ALL: &[(Self, &str)] =
                &[$((Self::$mistake, concat!($($doc),+).trim_ascii())),+];
        }
    };
}

mistakes! {
    // Publishing.
    /// Events are shown and acknowledged before they are committed.
    AcknowledgeUncommitted,
    /// A commit that is to be synced is only written.
    CommitUnsynced,
    /// What waits longest for a commit is committed last.
    NewestFirst,
    /// Whoever has led the commits does not tell the next one.
    ForgetToHandOver,
    /// What was published under a mark is forgotten at a restart.
    ForgetMarks,
    /// A copy gets the receipt of the next event.
    WrongReceipt,
    /// Whoever waits for an event to be settled is told before that is committed.
    SettledUncommitted,

    // Acknowledging.
    /// What a handler publishes is committed before the acknowledgement.
    OutputsFirst,
    /// What a handler publishes is committed after the acknowledgement.
    OutputsLast,
    /// What a failed attempt has stored is kept.
    KeepFailedWrites,
    /// The cursor does not name what is handled elsewhere.
    ForgetUnderWay,
    /// The cursor does not name what is gathered.
    ForgetGathered,
    /// The cursor names the first hole alone.
    ForgetHoles,
    /// The cursor is beyond what was read and not looked at.
    CursorAhead,
    /// A stop acknowledges what is under way.
    StopAcknowledges,
    /// A pause loses what was gathered.
    PauseLosesGathered,

    // Changing the number of lanes.
    /// A start drops the layers, whether lanes are among them or not.
    DropLayers,
    /// A subscription that starts with other lanes keeps no layer of those before.
    ForgetLayer,
    /// New lanes begin where the first of the old ones has come to.
    BeginTooFar,
    /// What was sent to lanes that go is lost.
    LoseInbound,
    /// New lanes do not go on counting.
    ForgetTally,

    // Failing.
    /// A failed attempt is not counted.
    ForgetAttempt,
    /// The cursor does not say how many attempts have failed.
    ForgetAttemptsAtStop,
    /// A failed attempt lets the next event of the key go.
    FailureFreesKey,
    /// A handler that goes on elsewhere does not hold its key.
    StartFreesKey,
    /// Nobody is woken for a retry.
    ForgetRetry,
    /// A lane is not woken for what it is told.
    ForgetToWake,
    /// An attempt that took too long and was given up may still acknowledge.
    LateAcknowledgement,

    // Dead letters.
    /// A dead letter is not stored.
    LetterNotStored,
    /// A dead letter is gone when it is retried, not when it is handled.
    RetryRemovesLetter,
    /// Giving a letter up is not stored.
    DiscardNotStored,
    /// Letters are given up at half of their age.
    SweepTooEarly,
    /// An event behind a dead letter of its held key is handled.
    LetBehindThrough,
    /// A letter behind another one of its key is retried first.
    RetryOutOfTurn,
    /// A start does not go on with letters behind one that is gone.
    ForgetReady,
    /// What is behind a letter that is given up does not follow.
    ForgetToFollow,

    // Once.
    /// An event counts as handled for its copies though its attempt has failed.
    MarkFailed,
    /// What an idempotent handler has handled is not stored.
    MarkNotStored,
    /// A copy is handled beside the original.
    CopyBesideOriginal,
    /// An event that was handled counts as being handled, so that its copies wait for ever.
    KeepClaim,
    /// The result of an effect is not stored.
    EffectNotStored,
    /// A failed attempt forgets the effects of its event.
    ForgetEffects,

    // Passing over.
    /// Events are handled after their time.
    IgnoreExpiry,
    /// An event that has expired counts as handled.
    ExpiredAsHandled,
    /// An event that a filter keeps away counts as handled.
    FilteredAsHandled,

    // Protecting.
    /// A rate is not charged.
    RateNotCharged,
    /// The rate of a key is not charged.
    KeyRateNotCharged,
    /// Any number of handlers may be at work.
    IgnoreConcurrency,
    /// An open circuit breaker lets events through.
    IgnoreBreaker,
    /// A failed probe counts as an attempt.
    ProbeCounts,
}

/// The mistake that was planted, if any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Planted {
    #[cfg(any(test, feature = "testing"))]
    pub(crate) mistake: Option<Mistake>,
}

impl Planted {
    #[cfg(any(test, feature = "testing"))]
    #[inline]
    pub(crate) fn is(self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    #[cfg(not(any(test, feature = "testing")))]
    #[allow(clippy::unused_self)] // the same call in both builds
    pub(crate) const fn is(self, _mistake: Mistake) -> bool {
        false
    }
}
