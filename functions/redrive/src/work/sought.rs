//! Files of versions that are to be looked for.

use sentinel_aws::ledger::Files;
use sentinel_core::ledger::{Group, Row, Rows, RowsHeader};

use super::error::WorkError;
use super::feed::read_all;

/// Most verdicts of one file, so that its first line stays short. Beyond them a verdict is left
/// out: then the row is judged by what is seen of its version alone.
const VERDICTS: usize = 500;

/// Longest verdict: a code, not a text.
const CODE: usize = 128;

/// A version to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sought {
    /// Its row.
    pub(super) row: Row,
    /// What the report says of the version, where that may be about another destination.
    pub(super) verdict: Option<String>,
}

/// Rows of several groups with verdicts, in the format of all files of rows: a row with a verdict
/// names a pair of groups after those of the job, its own and what it would be in if the verdict
/// was about it.
#[derive(Debug)]
pub(super) struct SoughtBody {
    groups: Vec<Group>,
    verdicts: Vec<(u16, String)>,
    lines: Vec<u8>,
}

impl SoughtBody {
    /// Rows of these groups.
    pub(super) fn new(groups: &[Group]) -> Self {
        Self {
            groups: groups.to_vec(),
            verdicts: Vec::new(),
            lines: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, row: &Row, verdict: Option<&str>) -> Result<(), WorkError> {
        let place = verdict.and_then(|code| self.place(row.group, code));
        let group = place.unwrap_or(row.group);
        let row = Row {
            group,
            ..row.clone()
        };
        row.encode(&mut self.lines)?;
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The file.
    pub(super) fn into_file(self) -> Result<Vec<u8>, WorkError> {
        let mut groups = self.groups;
        for (place, code) in self.verdicts {
            let Some(own) = groups.get(usize::from(place)).cloned() else {
                continue;
            };
            groups.push(own.clone());
            groups.push(Group {
                reason: code,
                ..own
            });
        }
        let mut file = Vec::new();
        RowsHeader { groups }.encode(&mut file)?;
        file.extend_from_slice(&self.lines);
        Ok(file)
    }

    fn place(&mut self, group: u16, code: &str) -> Option<u16> {
        if code.len() > CODE || usize::from(group) >= self.groups.len() {
            return None;
        }
        let same = |(place, known): &(u16, String)| *place == group && known == code;
        let verdict = match self.verdicts.iter().position(same) {
            Some(place) => place,
            None if self.verdicts.len() >= VERDICTS => return None,
            None => {
                self.verdicts.push((group, code.to_owned()));
                self.verdicts.len() - 1
            }
        };
        u16::try_from(self.groups.len() + 2 * verdict).ok()
    }
}

/// Reads such a file about rows of these groups; nothing if it is not there.
pub(super) async fn read_sought(
    files: &Files,
    key: &str,
    groups: &[Group],
) -> Result<Vec<Sought>, WorkError> {
    let mut all = Vec::new();
    read_all::<Rows>(files, key, |header: &RowsHeader, mut row| {
        let place = usize::from(row.group);
        let mut verdict = None;
        if place >= groups.len() {
            let own = header.groups.get(place);
            let own = groups.iter().position(|group| Some(group) == own);
            row.group = own.and_then(|own| u16::try_from(own).ok()).unwrap_or(0);
            verdict = header.groups.get(place + 1).map(|own| own.reason.clone());
        }
        all.push(Sought { row, verdict });
        Ok(())
    })
    .await?;
    Ok(all)
}
