//! Rows of cells as a Parquet file, a row group at a time.
//!
//! Whole numbers are INT64, texts are UTF-8 strings, instants are TIMESTAMP(MILLIS, UTC); every column
//! may be null. Not compressed. Knows nothing of what the columns mean.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::cells::{Cell, Column, Kind};

/// Rows that wait to be written together.
const GROUP_ROWS: usize = 10_000;

/// A Parquet file that is being written.
pub(super) struct ParquetFile<W: Write + Send> {
    columns: &'static [Column],
    writer: SerializedFileWriter<W>,
    rows: Vec<Vec<Cell>>,
}

impl<W: Write + Send> ParquetFile<W> {
    /// Begins a file. `about` are pairs that readers find beside the schema.
    pub(super) fn new(
        out: W,
        columns: &'static [Column],
        about: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let fields = columns.iter().map(|(name, kind)| match kind {
            Kind::Text => format!("optional binary {name} (STRING);"),
            Kind::Integer => format!("optional int64 {name};"),
            Kind::Real => format!("optional double {name};"),
            Kind::Instant => format!("optional int64 {name} (TIMESTAMP(MILLIS,true));"),
        });
        let fields: Vec<_> = fields.collect();
        let schema = parse_message_type(&format!("message rows {{ {} }}", fields.join(" ")))?;
        let about = about
            .iter()
            .map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
        let properties = WriterProperties::builder()
            .set_created_by(format!("mayfly {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(about.collect()))
            .build();
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
        Ok(Self {
            columns,
            writer,
            rows: Vec::new(),
        })
    }

    /// Adds a row, which has a cell for each column.
    pub(super) fn push(&mut self, row: Vec<Cell>) -> anyhow::Result<()> {
        self.rows.push(row);
        if self.rows.len() < GROUP_ROWS {
            return Ok(());
        }
        self.write_group()
    }

    /// Writes what waits, and the end of the file.
    pub(super) fn finish(mut self) -> anyhow::Result<W> {
        if !self.rows.is_empty() {
            self.write_group()?;
        }
        Ok(self.writer.into_inner()?)
    }

    fn write_group(&mut self) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.writer.next_row_group()?;
        for (at, (name, kind)) in self.columns.iter().enumerate() {
            let column = group.next_column()?;
            let column = column.context("the schema has fewer columns than the rows")?;
            let cells = rows.iter().map(|row| row.get(at).unwrap_or(&Cell::Nothing));
            match kind {
                Kind::Text => write::<ByteArrayType>(column, cells, |cell| match cell {
                    Cell::Text(text) => Ok(Some(ByteArray::from(text.as_str()))),
                    _ => Ok(None),
                })?,
                Kind::Real => write::<DoubleType>(column, cells, |cell| match cell {
                    Cell::Real(number) => Ok(Some(*number)),
                    _ => Ok(None),
                })?,
                Kind::Integer => write::<Int64Type>(column, cells, |cell| {
                    match cell {
                    Cell::Integer(number) => i64::try_from(*number).map(Some).with_context(|| {
                        format!("`{name}` is {number}, which is more than Parquet's INT64 holds; take csv or json")
                    }),
                    _ => Ok(None),
                }
                })?,
                Kind::Instant => write::<Int64Type>(column, cells, |cell| match cell {
                    Cell::Instant(text) => {
                        let at = text.parse::<Timestamp>();
                        let at = at.with_context(|| {
                            format!("`{name}` is `{text}`, which is no instant")
                        })?;
                        Ok(Some(at.as_millisecond()))
                    }
                    _ => Ok(None),
                })?,
            }
        }
        group.close()?;
        Ok(())
    }
}

/// Writes a column: values where there are some, and for each row whether there is one.
fn write<'a, T: DataType>(
    mut column: SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = &'a Cell>,
    value: impl Fn(&Cell) -> anyhow::Result<Option<T::T>>,
) -> anyhow::Result<()> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for cell in cells {
        let value = value(cell)?;
        levels.push(i16::from(value.is_some()));
        values.extend(value);
    }
    column
        .typed::<T>()
        .write_batch(&values, Some(&levels), None)?;
    column.close()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::{Field, RowAccessor as _};

    use super::*;

    const COLUMNS: &[Column] = &[
        ("name", Kind::Text),
        ("amount", Kind::Integer),
        ("ms", Kind::Real),
        ("at", Kind::Instant),
    ];

    fn row(amount: i128) -> Vec<Cell> {
        vec![
            Cell::text("é,\""),
            Cell::Integer(amount),
            Cell::Real(1.25),
            Cell::Instant("2026-11-22T16:28:17.840Z".to_owned()),
        ]
    }

    #[test]
    fn what_is_written_is_read_back_over_several_row_groups() {
        let about = [("month", "2026-11".to_owned())];
        let mut file = ParquetFile::new(Vec::new(), COLUMNS, &about).unwrap();
        let count = i128::try_from(GROUP_ROWS).unwrap() + 5;
        for number in 0..count {
            file.push(row(number - 3)).unwrap();
        }
        file.push(vec![Cell::Nothing; 4]).unwrap();
        let reader = SerializedFileReader::new(Bytes::from(file.finish().unwrap())).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let about = reader
            .metadata()
            .file_metadata()
            .key_value_metadata()
            .unwrap();
        assert_eq!(about[0].value.as_deref(), Some("2026-11"));
        let rows: Vec<_> = reader
            .get_row_iter(None)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(rows.len(), GROUP_ROWS + 6);
        for (row, number) in rows.iter().zip(0_i64..).take(GROUP_ROWS + 5) {
            assert_eq!(row.get_string(0).unwrap(), "é,\"");
            assert_eq!(row.get_long(1).unwrap(), number - 3);
            assert_eq!(row.get_double(2).unwrap(), 1.25);
            assert_eq!(row.get_timestamp_millis(3).unwrap(), 1_795_364_897_840);
        }
        let last = rows.last().unwrap().get_column_iter();
        assert!(
            last.map(|(_, field)| field)
                .all(|field| *field == Field::Null)
        );
    }

    #[test]
    fn a_number_that_does_not_fit_is_an_error_that_names_it() {
        let mut file = ParquetFile::new(Vec::new(), COLUMNS, &[]).unwrap();
        file.push(row(i128::MAX)).unwrap();
        let error = file.finish().unwrap_err().to_string();
        assert!(error.contains("`amount`"), "{error}");
    }

    #[test]
    fn a_file_without_rows_is_one() {
        let file = ParquetFile::new(Vec::new(), COLUMNS, &[]).unwrap();
        let reader = SerializedFileReader::new(Bytes::from(file.finish().unwrap())).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    }
}
