//! The ledger's files: what failed to replicate, what became of it, and how both are named.
//!
//! The ledger is nothing but files of sorted rows in the state bucket. Whatever it has to answer
//! (which versions are open, which of them are settled, what a job reported) is a merge of sorted
//! streams, so memory stays flat however many rows there are, and no index has to be kept right.
//!
//! # Keys
//!
//! | key | holds |
//! |---|---|
//! | `ledger/open/<group>/<oldest>-<newest>-<rows>-<hash>.jsonl` | rows that are not settled ([`OpenName`]) |
//! | `ledger/jobs/<job>/rows/<nnnnn>.jsonl` | what a job's manifest holds, in its order |
//! | `ledger/jobs/<job>/report/<nnnnn>.jsonl` | what its report says, each file sorted |
//! | `ledger/settled/<source>/<until>-<rows>-<job>-<nnnnn>.jsonl` | what is settled ([`SettledName`]) |
//! | `ledger/handed-over/<group>/<job>-<nnnnn>-<rows>-<hash>.jsonl` | rows given to a person ([`HandedOverName`]) |
//!
//! Times are Unix milliseconds in 13 digits, so names sort by time and a listing alone tells how
//! many rows a group has at most, and how old they are. `<group>` is a [`GroupId`], `<hash>` the
//! beginning of the content's SHA-256: a file is written once, under a name that only its content
//! can have, and a second write of the same rows meets the first one. Nobody changes a file.
//!
//! # Row files, schema 1
//!
//! JSON Lines in UTF-8: every line ends with a line feed, the last one too, and has at most 1 MiB
//! ([`MAX_LINE`]). The first line says what the file is and which groups its rows belong to; in an
//! open file that is exactly one:
//!
//! ```json
//! {"format":"mrap-sentinel/ledger","schema":1,"groups":[{"source":"app-use1","destination":"app-euw1","rule":"to-app-euw1","reason":"AssumeRoleNotPermitted"}]}
//! ["photos/a b.jpg","3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY",1795193943250,0,520080,0]
//! ```
//!
//! A row is key, version, time of the failure (Unix milliseconds), attempts, size in bytes or
//! `null`, and the place of its group in the first line, counted from 0. The key is decoded; the
//! version `"null"` is S3's own and kept. `destination` is `"*"` in rows that an operator's sweep
//! brought: then it stands for whatever rules match.
//!
//! Rows are sorted by ([`Identity`], key, version, group, time). The same failure may stand in
//! several files, because the queue delivers twice; failures of one version at different times
//! may stand in one. Merging brings them together, and never before each was held against what
//! is settled: an old duplicate must not take a new failure along.
//!
//! # Settled files, schema 1
//!
//! ```json
//! {"format":"mrap-sentinel/settled","schema":1,"source":"app-use1","destinations":["app-euw1"]}
//! ["00112233445566778899aabbccddeeff",0,1795193943250,"replicated"]
//! ```
//!
//! An entry is identity, place of the destination in the first line, time, and [`How`]. Entries
//! are sorted by identity, destination and time. A row is done with when there is an entry of its
//! identity and destination that is not older than the row's failure.
//!
//! # Changes of the format
//!
//! A reader refuses a file of another format or a later schema, and names it: rows that nobody
//! reads would be failures that nobody hears of. Fields that schema 1 gains must be ones that a
//! reader may leave out of account; anything else is schema 2.

mod group;
mod name;
mod row;
mod settled;
mod stream;

pub use group::{Destination, Group, GroupId, IdError};
pub use name::{
    ContentHash, HANDED_OVER, HandedOverName, JOBS, LedgerNameError, OPEN, OpenName, SETTLED,
    SettledName, job_prefix, report_key, rows_key,
};
pub use row::{Identity, Millis, OpenFile, Row, Rows, RowsHeader, sort_rows};
pub use settled::{How, Settled, SettledHeader, SettledRow};
pub use stream::{Format, LedgerError, LineError, Lines, MAX_LINE, Reader, SCHEMA};
