//! Reading the rows of a projection.

use std::{collections::VecDeque, fmt, iter::FusedIterator, sync::Arc, time::Duration};

use super::{
    builder,
    error::{ProjectError, ViewError},
    keys,
    lateness::Clock,
    model::Model,
    rows::Row,
    status::{BuildProgress, ProjectionStatus},
    stored::Generation,
};
use crate::{
    event::Key,
    storage::{KeyValue, StorageError},
};

/// How many rows are read at once.
const PAGE: usize = 256;

/// The rows of a projection, and its handle. Dropping it changes nothing; it keeps no bus alive.
///
/// What it shows is committed: everything up to some event, and nothing after it. While rows are built anew
/// the older ones are shown, and then, from one moment to the next, the new ones.
pub struct View<R> {
    model: Arc<Model<R>>,
}

impl<R: Row> View<R> {
    pub(super) fn new(model: Arc<Model<R>>) -> Self {
        Self { model }
    }

    /// The projection's name, which is that of its subscription.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.model.name
    }

    /// The row with this key, if there is one.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub fn get(&self, key: impl Into<Key>) -> Result<Option<R>, ViewError> {
        let key = key.into();
        loop {
            let served = self.served()?;
            let stored = self.read(&stored_key(&self.rows(served), &key))?;
            // Rows of another generation may have been removed in between.
            if self.served()? == served {
                return stored.map(|stored| self.decode(&key, &stored)).transpose();
            }
        }
    }

    /// All rows, by the text of their key, read page by page. Changes that are made meanwhile may be seen or not.
    pub fn iter(&self) -> RowsIter<R> {
        RowsIter {
            view: self.clone(),
            served: None,
            page: VecDeque::new(),
            after: None,
            is_over: false,
        }
    }

    /// How far the rows that are served are behind: positions to the end of the journal, events of others
    /// included. 0 when they are up to date. Before the first rows are there, how far building is.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let running = self.model.bus.upgrade().and_then(|bus| bus.running_one(&self.model.name));
        let building = || self.model.state.lock().building;
        match running {
            Some(running) => running.lag(),
            None => {
                let end = self.model.journal.end();
                building().map_or(0, |building| end.since(building.position))
            }
        }
    }

    /// How the projection is doing.
    ///
    /// # Errors
    /// Storage failed, or what it has does not decode.
    pub fn status(&self) -> Result<ProjectionStatus, StorageError> {
        let served = self.stored_served()?;
        let number = served.map_or(0, |served| served.number);
        let clock = self.read(&keys::clock(&self.model.name, number))?;
        let clock = clock.as_deref().and_then(Clock::decode).unwrap_or_default();
        let running = self.model.bus.upgrade().and_then(|bus| bus.running_one(&self.model.name));
        let end = self.model.journal.end();
        let state = self.model.state.lock();
        let progress = state.building.map(|building| BuildProgress {
            version: building.generation.version,
            position: building.position,
            end,
        });
        let is_durable = self.model.journal.is_durable();
        Ok(ProjectionStatus {
            serving: if is_durable {
                served.map(|it| it.version)
            } else {
                Some(self.model.version)
            },
            building: progress,
            halted: state.halted.clone(),
            subscription: running.map(|running| running.status()),
            late: clock.late,
            watermark: clock.latest(),
        })
    }

    /// Waits until the rows of this version are served, as they are once a build has caught up. False where they
    /// are not after `timeout`, or building has halted. Blocks the thread.
    #[must_use]
    pub fn wait_built(&self, timeout: Duration) -> bool {
        let runtime = self.model.journal.runtime();
        let deadline = runtime.now().saturating_add(timeout);
        let is_over = || {
            let state = self.model.state.lock();
            state.building.is_none() || state.halted.is_some()
        };
        runtime.wait(self.model.journal.quiet(), Some(deadline), is_over);
        self.model.state.lock().building.is_none()
    }

    /// Builds the rows anew from the beginning of the log, in the background, beside those that are served,
    /// which are kept up to date meanwhile.
    ///
    /// # Errors
    /// See [`ProjectError`]; on a volatile bus there is nothing to build from.
    pub fn rebuild(&self) -> Result<(), ProjectError> {
        builder::rebuild(&self.model)
    }

    fn served(&self) -> Result<u64, ViewError> {
        if !self.model.journal.is_durable() {
            return Ok(0);
        }
        let served = self.stored_served()?;
        let not_built = || ViewError::NotBuilt { name: self.model.name.to_string() };
        served.map(|served| served.number).ok_or_else(not_built)
    }

    fn stored_served(&self) -> Result<Option<Generation>, StorageError> {
        let stored = self.model.journal.get(&keys::served(&self.model.name))?;
        stored.map(|stored| Generation::served(&stored)).transpose()
    }

    fn rows(&self, generation: u64) -> Vec<u8> {
        keys::rows(&self.model.name, generation)
    }

    /// On a volatile bus the subscription has it.
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        if self.model.journal.is_durable() {
            return self.model.journal.get(key);
        }
        let live = self.model.state.lock().live.clone();
        live.map_or(Ok(None), |(_, live)| live.subscriber().recall(key))
    }

    fn read_page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
    ) -> Result<Vec<KeyValue>, StorageError> {
        if self.model.journal.is_durable() {
            return self.model.journal.scan_page(prefix, after, PAGE);
        }
        let live = self.model.state.lock().live.clone();
        live.map_or(Ok(Vec::new()), |(_, live)| live.subscriber().recall_page(prefix, after, PAGE))
    }

    fn decode(&self, key: &Key, stored: &[u8]) -> Result<R, ViewError> {
        serde_json::from_slice(stored).map_err(|source| {
            let (name, key) = (self.model.name.to_string(), key.clone());
            ViewError::Row { name, key, source }
        })
    }
}

fn stored_key(prefix: &[u8], key: &Key) -> Vec<u8> {
    [prefix, key.as_str().as_bytes()].concat()
}

impl<R> Clone for View<R> {
    fn clone(&self) -> Self {
        Self { model: Arc::clone(&self.model) }
    }
}

impl<R: Row> IntoIterator for &View<R> {
    type Item = Result<(Key, R), ViewError>;
    type IntoIter = RowsIter<R>;

    fn into_iter(self) -> RowsIter<R> {
        self.iter()
    }
}

impl<R> fmt::Debug for View<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("name", &self.model.name)
            .field("version", &self.model.version)
            .finish_non_exhaustive()
    }
}

/// The rows of a [`View`], one after another.
#[must_use = "nothing is read until it is iterated"]
pub struct RowsIter<R> {
    view: View<R>,
    /// The generation that the first page is of.
    served: Option<u64>,
    page: VecDeque<KeyValue>,
    after: Option<Vec<u8>>,
    is_over: bool,
}

impl<R: Row> RowsIter<R> {
    fn turn_page(&mut self) -> Result<(), ViewError> {
        let served = match self.served {
            Some(served) => served,
            None => *self.served.insert(self.view.served()?),
        };
        let page = self.view.read_page(&self.view.rows(served), self.after.as_deref())?;
        if self.view.served()? != served {
            return Err(ViewError::Switched { name: self.view.name().to_owned() });
        }
        self.is_over = page.len() < PAGE;
        self.after = page.last().map(|(key, _)| key.clone());
        self.page = page.into();
        Ok(())
    }

    fn decode(&self, key: &[u8], value: &[u8]) -> Result<(Key, R), ViewError> {
        let prefix = self.view.rows(self.served.unwrap_or_default()).len();
        let text = key.get(prefix..).and_then(|key| std::str::from_utf8(key).ok());
        let key = Key::new(text.unwrap_or_default());
        let row = self.view.decode(&key, value)?;
        Ok((key, row))
    }
}

impl<R: Row> Iterator for RowsIter<R> {
    type Item = Result<(Key, R), ViewError>;

    /// A row that does not decode is an error among the others; any other error is the last item.
    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty()
            && !self.is_over
            && let Err(error) = self.turn_page()
        {
            self.is_over = true;
            return Some(Err(error));
        }
        let (key, value) = self.page.pop_front()?;
        Some(self.decode(&key, &value))
    }
}

impl<R: Row> FusedIterator for RowsIter<R> {}

impl<R> fmt::Debug for RowsIter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowsIter").field("view", &self.view).finish_non_exhaustive()
    }
}
