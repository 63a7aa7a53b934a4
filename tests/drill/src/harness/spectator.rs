//! What a spectator sees while a run goes on, in order of time.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use simulator::SimTime;

use crate::history::Function;

/// Whom or what a moment is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The script.
    Story,
    /// The clients.
    Client,
    /// An alarm.
    Alarm,
    /// A function.
    Function(Function),
    /// The routes, really.
    Routes,
    /// Somebody was told something.
    Page,
}

/// Something to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: SimTime,
    /// About what.
    pub kind: Kind,
    /// In words.
    pub text: String,
}

/// What is sent to whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Virtual time has come this far.
    Progress(SimTime),
    /// Something happened.
    Moment(Moment),
}

/// Collects moments and passes them on in order. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Spectator {
    waiting: Arc<Mutex<Vec<Moment>>>,
    watcher: Option<Sender<Seen>>,
}

impl Spectator {
    pub(super) fn new(watcher: Option<Sender<Seen>>) -> Self {
        Self {
            waiting: Arc::default(),
            watcher,
        }
    }

    pub(super) fn tell(&self, at: SimTime, kind: Kind, text: impl Into<String>) {
        let text = text.into();
        self.waiting.lock().unwrap().push(Moment { at, kind, text });
    }

    /// Passes on everything up to now. Whoever stopped watching misses it.
    pub(super) fn flush(&self, now: SimTime) {
        let mut moments = std::mem::take(&mut *self.waiting.lock().unwrap());
        let Some(watcher) = &self.watcher else {
            return;
        };
        moments.sort_by_key(|moment| moment.at);
        for moment in moments {
            let _ = watcher.send(Seen::Moment(moment));
        }
        let _ = watcher.send(Seen::Progress(now));
    }
}
