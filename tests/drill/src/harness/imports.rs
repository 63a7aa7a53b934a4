//! Somebody's imports: objects that are written straight into a member's bucket, past the clients
//! and their SDK, so that a run can have very many of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use simulator::Simulator;

use crate::DATA_PREFIX;
use crate::history::Acknowledged;

/// What was imported so far. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Imports(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    written: Vec<Acknowledged>,
    deleted: BTreeSet<(String, String, String)>,
}

impl Imports {
    /// Writes so many objects now.
    pub(super) fn write(&self, sim: &Simulator, bucket: &str, count: u64) {
        let mut known = self.0.lock().unwrap();
        let first = known.written.len() as u64;
        sim.with(|world| {
            for number in first..first + count {
                let key = format!("{DATA_PREFIX}import/{number:08}");
                let version = world.put_object_as_person(bucket, &key, "imported");
                known.written.push(Acknowledged {
                    at: world.now(),
                    key,
                    version,
                    bucket: bucket.to_owned(),
                });
            }
        });
    }

    /// Deletes one in so many of the versions that were imported into `source` for good, there or
    /// in another bucket.
    pub(super) fn delete_for_good(
        &self,
        sim: &Simulator,
        source: &str,
        bucket: &str,
        one_in: usize,
    ) {
        let mut known = self.0.lock().unwrap();
        let Known { written, deleted } = &mut *known;
        sim.with(|world| {
            let imported = written.iter().filter(|write| write.bucket == source);
            for write in imported.step_by(one_in) {
                if world.delete_version_as_person(bucket, &write.key, &write.version) {
                    let key = (write.key.clone(), write.version.clone());
                    deleted.insert((bucket.to_owned(), key.0, key.1));
                }
            }
        });
    }

    /// Everything that was imported.
    pub(super) fn records(&self) -> Vec<Acknowledged> {
        self.0.lock().unwrap().written.clone()
    }

    /// What was deleted for good: bucket, key, version.
    pub(super) fn deleted(&self) -> BTreeSet<(String, String, String)> {
        self.0.lock().unwrap().deleted.clone()
    }
}
