//! Describing a projection, and starting it.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    build::{Build, switch},
    chunk::EVENTS,
    error::ProjectError,
    fold::{Fold, FoldOf, Folds},
    keys,
    lateness::{Late, Lateness},
    model::Model,
    rows::{Row, Rows},
    stored::Stored,
    view::View,
};
use crate::{
    bus::{Bus, Reservation, SubscribeError},
    delivery::is_known,
    event::Event,
    policy::Backoff,
    runtime::{Runtime, Timestamp},
};

/// A projection being described. It runs once it is started.
#[must_use = "a projection does nothing until it is started"]
pub struct ProjectionBuilder<R> {
    bus: Bus,
    name: Arc<str>,
    version: u32,
    folds: Vec<Box<dyn Fold<R>>>,
    lateness: Lateness,
    pool: String,
    retry: Option<Backoff>,
    most: usize,
    /// Two handlers for this event.
    twice: Option<&'static str>,
}

impl<R: Row> ProjectionBuilder<R> {
    pub(super) fn new(bus: Bus, name: &str, version: u32) -> Self {
        Self {
            bus,
            name: name.into(),
            version,
            folds: Vec::new(),
            lateness: Lateness::default(),
            pool: Runtime::DEFAULT_POOL.into(),
            retry: None,
            most: EVENTS,
            twice: None,
        }
    }

    /// What an event makes of the rows. May be called for several events, which come in the order of the
    /// journal.
    ///
    /// The handler must be a function of the event and the rows alone: the rows are built anew with it. One that
    /// panics has failed, as any handler, and is tried again; after the last attempt the event is a dead letter.
    pub fn on<E: Event>(
        mut self,
        handler: impl Fn(&E, &mut Rows<'_, R>) + Send + Sync + 'static,
    ) -> Self {
        if self.fold::<E>().handler.replace(Box::new(handler)).is_some() {
            self.twice = Some(E::NAME);
        }
        self
    }

    /// When an event of this type happened, which may be long before it was published. Then events that come too
    /// late are counted, and treated as [`late`](Self::late) says. Others have no time.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Event};
    /// use std::time::Duration;
    /// use tidings::{Late, Timestamp};
    ///
    /// #[derive(Serialize, Deserialize, Event)]
    /// #[event(name = "meters.read")]
    /// struct MeterRead { meter: u64, at_ms: u64, watts: u64 }
    ///
    /// # let bus = Bus::volatile();
    /// bus.project::<(u64, u64)>("watts-by-hour", 1)
    ///     .event_time(|read: &MeterRead| Timestamp::from_nanos(read.at_ms * 1_000_000))
    ///     .allowed_lateness(Duration::from_secs(600))
    ///     .late(Late::Ignore)
    ///     .on(|read: &MeterRead, rows| {
    ///         let hour = rows.at(read.at_ms / 3_600_000);
    ///         *hour = (hour.0 + 1, hour.1 + read.watts);
    ///     })
    ///     .start()?;
    /// # Ok::<(), tidings::ProjectError>(())
    /// ```
    pub fn event_time<E: Event>(
        mut self,
        time: impl Fn(&E) -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        self.fold::<E>().time = Some(Box::new(time));
        self
    }

    /// How far the time of an event may lie behind the latest one seen. Not at all unless set.
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.lateness.allowed = lateness;
        self
    }

    /// What happens to events that come too late. [`Late::Apply`] unless set.
    pub fn late(mut self, policy: Late) -> Self {
        self.lateness.policy = policy;
        self
    }

    /// What is done with an event of this type that comes too late, instead of what its handler does, whatever
    /// [`late`](Self::late) says: to correct what was made without it.
    pub fn reconcile<E: Event>(
        mut self,
        reconcile: impl Fn(&E, &mut Rows<'_, R>) + Send + Sync + 'static,
    ) -> Self {
        self.fold::<E>().reconcile = Some(Box::new(reconcile));
        self
    }

    /// The pool to run on. [`Runtime::DEFAULT_POOL`] unless set.
    pub fn pool(mut self, name: &str) -> Self {
        self.pool = name.into();
        self
    }

    /// How an event is tried again whose handler panics, or whose rows cannot be read; as for a
    /// [subscription](crate::SubscriptionBuilder::retry).
    pub fn retry(mut self, backoff: Backoff) -> Self {
        self.retry = Some(backoff);
        self
    }

    /// Folds no more than so many events at once when rows are built: for tests of your own (feature
    /// `testing`), which have fewer events than real life.
    #[cfg(any(test, feature = "testing"))]
    pub fn build_in_chunks_of(mut self, events: usize) -> Self {
        self.most = events.max(1);
        self
    }

    /// Starts the projection. It runs until the bus is stopped, whether or not the view is kept.
    ///
    /// Where no rows of this version are there, they are built from the beginning of the log, in the
    /// background; where older ones are, these are served meanwhile, as they are, or kept up to date where an
    /// older version of the projection runs. On a volatile bus it begins with the next event.
    ///
    /// # Errors
    /// See [`ProjectError`].
    pub fn start(self) -> Result<View<R>, ProjectError> {
        let bus = self.bus.clone();
        let model = self.model()?;
        if bus.journal().is_durable() {
            start_stored(&bus, &model)?;
        } else {
            let reservation = bus.reserve(&model.name)?;
            model.go_live(&bus, 0, &reservation)?;
        }
        Ok(View::new(model))
    }

    fn model(self) -> Result<Arc<Model<R>>, ProjectError> {
        let name = || self.name.to_string();
        if let Some(event) = self.twice {
            let event = event.to_owned();
            return Err(SubscribeError::DuplicateHandler { name: name(), event }.into());
        }
        if let Some(fold) = self.folds.iter().find(|fold| !fold.is_handled()) {
            let event = fold.name().to_owned();
            return Err(ProjectError::Unhandled { name: name(), event });
        }
        let contract = self.bus.journal().contract();
        let folds = self.folds.into_iter().map(|fold| Ok((fold.event(contract)?, Arc::from(fold))));
        let folds: Result<Folds<R>, ProjectError> = folds.collect();
        let settings = (self.pool, self.retry, self.most);
        let model =
            Model::new(&self.bus, (self.name, self.version), folds?, self.lateness, settings);
        model.check(&self.bus)?;
        Ok(model)
    }

    fn fold<E: Event>(&mut self) -> &mut FoldOf<E, R> {
        let found = self.folds.iter_mut().position(|fold| fold.as_any().is::<FoldOf<E, R>>());
        let at = found.unwrap_or_else(|| {
            self.folds.push(Box::new(FoldOf::<E, R>::default()));
            self.folds.len() - 1
        });
        #[expect(clippy::expect_used)] // it was just found to be of that type
        self.folds[at].as_any().downcast_mut().expect("a fold of that type")
    }
}

impl<R> fmt::Debug for ProjectionBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectionBuilder")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Takes the name of who builds a projection, which is also the right to change what is stored of it.
fn reserve_reader<R: Row>(bus: &Bus, model: &Model<R>) -> Result<Reservation, ProjectError> {
    match bus.reserve(&keys::reader(&model.name).into()) {
        Err(SubscribeError::DuplicateName { .. }) => {
            Err(ProjectError::Building { name: model.name.to_string() })
        }
        reserved => Ok(reserved?),
    }
}

fn start_stored<R: Row>(bus: &Bus, model: &Arc<Model<R>>) -> Result<(), ProjectError> {
    let (journal, name) = (&model.journal, &model.name);
    let reader = reserve_reader(bus, model)?;
    journal.write(Vec::new())?; // what an earlier build has on its way is to be seen
    let mut stored = Stored::load(journal, name)?;
    if let Some(served) = stored.served.filter(|served| served.version > model.version) {
        let (name, version) = (name.to_string(), model.version);
        return Err(ProjectError::Superseded { name, stored: served.version, version });
    }
    if stored.served.is_none() && is_known(journal, name)? {
        return Err(ProjectError::NoProjection { name: name.to_string() });
    }
    let mut current = stored.served.filter(|served| served.version == model.version);
    let is_under_way = stored.building.is_some_and(|one| one.generation.version == model.version);
    if !is_under_way && current.is_some() {
        stored.give_up();
    } else if !is_under_way {
        stored.begin(model.version, journal.first());
    }
    let is_older_running = stored.served.is_some() && bus.running_one(name).is_some();
    let reservation = match current {
        None if is_older_running => None,
        _ => Some(bus.reserve(name)?),
    };
    if current.is_none() && stored.served.is_none() && journal.first() == journal.end() {
        // Nothing to build: what is published from now on is in the rows.
        journal.write(switch(model, &mut stored, journal.end())?)?;
        current = stored.served;
    }
    let (Some(current), Some(reserved)) = (current, &reservation) else {
        Build::spawn(bus, model, stored, (reservation, reader));
        return Ok(());
    };
    model.go_live(bus, current.number, reserved)?;
    if stored.building.is_some() || !stored.old.is_empty() {
        Build::spawn(bus, model, stored, (None, reader));
    }
    Ok(())
}

/// Builds the rows anew, beside those that are there.
pub(super) fn rebuild<R: Row>(model: &Arc<Model<R>>) -> Result<(), ProjectError> {
    let Some(bus) = model.bus.upgrade() else { return Err(SubscribeError::Closed.into()) };
    let (journal, name) = (&model.journal, &model.name);
    if !journal.is_durable() {
        return Err(ProjectError::Volatile { name: name.to_string() });
    }
    let reader = reserve_reader(&bus, model)?;
    journal.write(Vec::new())?;
    let mut stored = Stored::load(journal, name)?;
    stored.begin(model.version, journal.first());
    let is_running = bus.running_one(name).is_some();
    let reservation = if is_running { None } else { Some(bus.reserve(name)?) };
    Build::spawn(&bus, model, stored, (reservation, reader));
    Ok(())
}
