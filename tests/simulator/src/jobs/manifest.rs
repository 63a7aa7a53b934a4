//! CSV manifests, read as Batch Operations reads them.

use crate::wire::query;

/// What the columns of a manifest are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields {
    columns: usize,
    bucket: usize,
    key: usize,
    version: Option<usize>,
}

impl Fields {
    /// `None` if a name is unknown or twice, or if bucket or key is missing.
    pub(super) fn read(names: &[&str]) -> Option<Self> {
        let (mut bucket, mut key, mut version) = (None, None, None);
        for (column, name) in names.iter().enumerate() {
            let place = match *name {
                "Bucket" => &mut bucket,
                "Key" => &mut key,
                "VersionId" => &mut version,
                "Ignore" => continue,
                _ => return None,
            };
            if place.replace(column).is_some() {
                return None;
            }
        }
        Some(Self {
            columns: names.len(),
            bucket: bucket?,
            key: key?,
            version,
        })
    }

    pub(crate) fn has_versions(self) -> bool {
        self.version.is_some()
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// The key as the manifest has it: reports echo it.
    pub(crate) written_key: String,
    pub(crate) key: String,
    pub(crate) version_id: String,
}

/// Counts the rows and finds the one bucket of a manifest.
///
/// # Errors
/// The reason that a job gives for not taking it.
pub(crate) fn survey(body: &[u8], fields: Fields) -> Result<(u64, String), String> {
    if body.starts_with(b"\xef\xbb\xbf") || std::str::from_utf8(body).is_err() {
        return Err("The manifest must be UTF-8 without a byte order mark".to_owned());
    }
    let mut reader = reader(body);
    let mut record = csv::ByteRecord::new();
    let mut rows = 0;
    let mut bucket: Option<Vec<u8>> = None;
    while reader
        .read_byte_record(&mut record)
        .map_err(|e| e.to_string())?
    {
        rows += 1;
        if record.len() != fields.columns {
            return Err(format!(
                "Row {rows} of the manifest has {} columns, not {}",
                record.len(),
                fields.columns
            ));
        }
        let name = &record[fields.bucket];
        match &bucket {
            None => bucket = Some(name.to_vec()),
            Some(first) if first.as_slice() == name => {}
            Some(_) => return Err("The manifest names more than one bucket".to_owned()),
        }
    }
    let bucket = bucket.ok_or_else(|| "The manifest has no rows".to_owned())?;
    Ok((rows, String::from_utf8_lossy(&bucket).into_owned()))
}

/// At most `limit` rows from `offset` on, and the offset after them.
pub(crate) fn rows(
    body: &[u8],
    offset: usize,
    limit: u64,
    fields: Fields,
    plus_is_space: bool,
) -> (Vec<Row>, usize) {
    let mut reader = reader(&body[offset..]);
    let mut record = csv::ByteRecord::new();
    let mut rows = Vec::new();
    while (rows.len() as u64) < limit && reader.read_byte_record(&mut record).unwrap_or(false) {
        let text = |column: usize| {
            String::from_utf8_lossy(record.get(column).unwrap_or_default()).into_owned()
        };
        let written_key = text(fields.key);
        let key = if plus_is_space {
            query::decode(&written_key.replace('+', " "))
        } else {
            query::decode(&written_key)
        };
        rows.push(Row {
            written_key,
            key,
            version_id: fields.version.map(text).unwrap_or_default(),
        });
    }
    let read = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
    (rows, offset + read)
}

fn reader(body: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: [&str; 3] = ["Bucket", "Key", "VersionId"];

    #[test]
    fn fields_name_bucket_and_key_once() {
        for (names, good) in [
            (&FULL[..], true),
            (&FULL[..2], true),
            (&["Key", "Ignore", "Bucket"], true),
            (&["Key"], false),
            (&["Bucket", "Bucket", "Key"], false),
            (&["Bucket", "Key", "ETag"], false),
        ] {
            assert_eq!(Fields::read(names).is_some(), good, "{names:?}");
        }
    }

    #[test]
    fn a_manifest_has_one_bucket_and_equal_rows() {
        let fields = Fields::read(&FULL).unwrap();
        for (body, expected) in [
            ("b,k,1\nb,l,2\n", Ok((2, "b".to_owned()))),
            ("b,k,1\r\nb,\"l,l\",2", Ok((2, "b".to_owned()))),
            ("b,k,1\nc,l,2\n", Err("more than one bucket")),
            ("b,k,1\nb,l\n", Err("Row 2")),
            ("", Err("no rows")),
            ("\u{feff}b,k,1\n", Err("byte order mark")),
        ] {
            match (survey(body.as_bytes(), fields), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{body:?}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => panic!("{body:?}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn rows_are_read_in_portions() {
        let fields = Fields::read(&FULL).unwrap();
        let body = b"b,a%20b%2Bc+d,1\nb,\"x,y\",2\nb,z,3\n";
        let (first, offset) = rows(body, 0, 2, fields, false);
        let keys: Vec<&str> = first.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["a b+c+d", "x,y"]);
        assert_eq!(first[0].written_key, "a%20b%2Bc+d");
        let (rest, offset) = rows(body, offset, 2, fields, false);
        assert_eq!(rest.len(), 1);
        assert_eq!(rest[0].version_id, "3");
        assert_eq!(offset, body.len());
        assert_eq!(rows(body, 0, 1, fields, true).0[0].key, "a b+c d");
    }
}
