//! Reads tables of people: CSV in UTF-8 or GB18030, and XLSX. Nothing of a file is held but some lines of it.

use anyhow::{Context, bail, ensure};
use calamine::{Data, Reader as _, Xlsx};
use encoding_rs::{Decoder, DecoderResult, GB18030, UTF_8};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use crate::domain::enrolment::{CELL_CHARS_MAX, COLUMNS_MAX, acts};

/// Largest file, bytes: 100,000 lines of sixteen facts have about 20 MiB.
pub const FILE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most lines below the headings: a city's, five times over.
pub const LINES_MAX: usize = 500_000;
/// Most bytes that an XLSX may unpack to; a sheet of 100,000 lines has about 120 MiB.
const UNPACKED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Most cells of a line before those that are empty at its end are left out.
const CELLS_MAX: usize = 1024;
/// Largest list of parts of an XLSX, bytes; a workbook has about twenty, of 100 bytes each.
const DIRECTORY_BYTES_MAX: u64 = 1024 * 1024;
/// Longest line of a CSV, bytes: 64 cells of 256 characters have a sixteenth of it. It may go over lines in quotes.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Begins an Excel workbook of before 2007, and one that a password locks ([MS-CFB] 2.2).
const OLD_OR_LOCKED: [u8; 4] = [0xd0, 0xcf, 0x11, 0xe0];
/// Bytes read at once.
const BLOCK: usize = 64 * 1024;

/// Reads a table; `take` gets the number of each line, from 1, and its cells. The first line has the headings.
///
/// # Errors
/// The file is none of both, too large, too long or too wide; what `take` says.
pub fn read(mut file: File, take: &mut dyn FnMut(usize, Vec<String>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut lines = 0;
    let mut checked = |number: usize, mut cells: Vec<String>| {
        while cells.len() > 1 && cells.last().is_some_and(|c| c.trim().is_empty()) {
            cells.pop();
        }
        if cells.iter().all(|c| c.trim().is_empty()) {
            return Ok(());
        }
        lines += 1;
        ensure!(lines <= LINES_MAX + 1, "the file has more than {LINES_MAX} lines");
        ensure!(cells.len() <= COLUMNS_MAX, "line {number} has {} columns; it may have {COLUMNS_MAX}", cells.len());
        // A cell that is too long is refused by its own fault, which needs no more of it.
        for cell in &mut cells {
            if let Some((at, _)) = cell.char_indices().nth(CELL_CHARS_MAX + 1) {
                cell.truncate(at);
            }
        }
        take(number, cells)
    };
    let bytes = file.metadata()?.len();
    ensure!(bytes <= FILE_BYTES_MAX as u64, "the file has {bytes} bytes, beyond the length limit of {FILE_BYTES_MAX}");
    let mut magic = [0; 4];
    let read = file.read(&mut magic)?;
    file.rewind()?;
    ensure!(
        magic != OLD_OR_LOCKED,
        "the workbook has a password or is of before 2007; save it as XLSX without a password"
    );
    if magic[..read] == *b"PK\x03\x04" {
        xlsx(file, &mut checked)?
    } else {
        csv(file, &mut checked)?
    }
    ensure!(lines > 0, "the file is empty; its first line must have the headings");
    Ok(())
}

fn csv(mut file: File, take: &mut dyn FnMut(usize, Vec<String>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let encoding = if is_utf8(&mut file)? { UTF_8 } else { GB18030 };
    file.rewind()?;
    let delimiter = delimiter(&mut file)?;
    file.rewind()?;
    let of_this_line = Rc::new(Cell::new(0));
    let text = Decoded {
        file,
        of_this_line: of_this_line.clone(),
        decoder: encoding.new_decoder_with_bom_removal(),
        block: vec![0; BLOCK],
        from: 0,
        to: 0,
        is_last: false,
        is_decoded: false,
        is_ended: false,
        was_return: false,
    };
    let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text);
    let mut row = csv::StringRecord::new();
    loop {
        of_this_line.set(0);
        let line = rows.position().line();
        if !rows.read_record(&mut row).with_context(|| format!("the file is no table from line {line} on"))? {
            break;
        }
        // The position of a record is that of the empty lines before it; the reader's own is behind the record.
        let inside: usize = row.iter().map(|cell| cell.matches('\n').count()).sum();
        let number = usize::try_from(rows.position().line())?.saturating_sub(1 + inside);
        ensure!(row.len() <= CELLS_MAX, "line {number} has {} columns; it may have {COLUMNS_MAX}", row.len());
        take(number, row.iter().map(str::to_owned).collect())?;
    }
    Ok(())
}

/// What stands between the cells of the first line: a comma, a semicolon (Excel, in much of Europe) or a tab. Each has
/// the same byte in UTF-8 and GB18030, and is no part of another character.
fn delimiter(file: &mut File) -> io::Result<u8> {
    let mut line = Vec::new();
    file.take(BLOCK as u64).read_to_end(&mut line)?;
    let (mut counts, mut is_quoted) = ([(b',', 0), (b';', 0), (b'\t', 0)], false);
    for byte in line.into_iter().skip_while(|b| b.is_ascii_whitespace() && *b != b'\t') {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' | b'\r' if !is_quoted => break,
            _ if is_quoted => {}
            _ => counts.iter_mut().filter(|(d, _)| *d == byte).for_each(|(_, n)| *n += 1),
        }
    }
    // The first of the most: a comma where there is nothing.
    Ok(counts.into_iter().rev().max_by_key(|(_, n)| *n).map_or(b',', |(d, _)| d))
}

fn is_utf8(file: &mut File) -> io::Result<bool> {
    let (mut decoder, mut block, mut out) = (UTF_8.new_decoder(), vec![0; BLOCK], vec![0; BLOCK * 3 + 16]);
    loop {
        let read = file.read(&mut block)?;
        let (result, ..) = decoder.decode_to_utf8_without_replacement(&block[..read], &mut out, read == 0);
        if matches!(result, DecoderResult::Malformed(..)) {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// A file as UTF-8; each of its lines ends with one line feed, the last one, too.
struct Decoded {
    file: File,
    /// Bytes of the line that is being read, give or take a block of the reader's.
    of_this_line: Rc<Cell<usize>>,
    decoder: Decoder,
    block: Vec<u8>,
    from: usize,
    to: usize,
    is_last: bool,
    is_decoded: bool,
    is_ended: bool,
    was_return: bool,
}

impl Decoded {
    /// Makes one line feed of each end of a line, in place; returns how many bytes are left.
    fn end_lines(&mut self, out: &mut [u8]) -> usize {
        let mut kept = 0;
        for at in 0..out.len() {
            let is_second = out[at] == b'\n' && self.was_return;
            self.was_return = out[at] == b'\r';
            if !is_second {
                out[kept] = if self.was_return { b'\n' } else { out[at] };
                kept += 1;
            }
        }
        kept
    }
}

impl Read for Decoded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // A character has at most four bytes, and less room than that would hold it up for ever.
        if out.len() < 16 {
            return Err(io::Error::other("too little room"));
        }
        if self.of_this_line.get() > LINE_BYTES_MAX {
            return Err(io::Error::other(format!(
                "a line has more than {LINE_BYTES_MAX} bytes; is a quote not closed?"
            )));
        }
        loop {
            if self.is_decoded {
                out[0] = b'\n';
                return Ok(usize::from(!std::mem::replace(&mut self.is_ended, true)));
            }
            if self.from == self.to && !self.is_last {
                (self.from, self.to) = (0, self.file.read(&mut self.block)?);
                self.is_last = self.to == 0;
            }
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(&self.block[self.from..self.to], out, self.is_last);
            self.from += read;
            if matches!(result, DecoderResult::Malformed(..)) {
                return Err(io::Error::other("the text is neither UTF-8 nor GB18030"));
            }
            self.is_decoded = self.is_last && matches!(result, DecoderResult::InputEmpty);
            let kept = self.end_lines(&mut out[..written]);
            if kept > 0 {
                self.of_this_line.set(self.of_this_line.get() + kept);
                return Ok(kept);
            }
        }
    }
}

fn xlsx(mut file: File, take: &mut dyn FnMut(usize, Vec<String>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    check_unpacked(&mut file)?;
    file.rewind()?;
    let mut book: Xlsx<_> = Xlsx::new(BufReader::new(file)).context("the file is no XLSX")?;
    let name = book.sheet_names().first().cloned().context("the XLSX has no sheet")?;
    let mut cells = book.worksheet_cells_reader(&name).context("the first sheet cannot be read")?;
    let (mut at, mut row) = (None::<u32>, Vec::new());
    while let Some(cell) = cells.next_cell().context("the first sheet cannot be read")? {
        let (line, column) = cell.get_position();
        if at.is_some_and(|at| at != line) {
            take(at.map_or(0, |l| l as usize) + 1, std::mem::take(&mut row))?;
        }
        at = Some(line);
        ensure!(
            (column as usize) < COLUMNS_MAX,
            "line {} has {} columns; it may have {COLUMNS_MAX}",
            line + 1,
            column + 1
        );
        row.resize(row.len().max(column as usize + 1), String::new());
        row[column as usize] = match Data::from(cell.get_value().clone()) {
            // A long number that Excel took for one; its digits are those that people see.
            Data::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.0}"),
            // Excel keeps fifteen digits: the rest is lost, and must not look whole.
            Data::Float(number) if number.abs() >= 1e15 => format!("{number:e}").replace('e', "E+"),
            // 2026-11 in a cell of Excel's is a date.
            Data::DateTime(time) if time.is_datetime() => {
                let (year, month, day, ..) = time.to_ymd_hms_milli();
                format!("{year:04}-{month:02}-{day:02}")
            }
            other => other.to_string(),
        };
    }
    if let Some(at) = at {
        take(at as usize + 1, row)?;
    }
    Ok(())
}

/// Unpacks every part of a ZIP into nothing, up to a limit: what its list says of sizes may be a lie (PKWARE, APPNOTE 4.3).
fn check_unpacked(file: &mut File) -> anyhow::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail = length.min(65_557);
    file.seek(SeekFrom::Start(length - tail))?;
    let mut end = vec![0; usize::try_from(tail)?];
    file.read_exact(&mut end)?;
    let at = end.windows(4).rposition(|w| w == b"PK\x05\x06").context("the file is no XLSX: it has no end")?;
    let word = |bytes: &[u8], at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map(u32::from_le_bytes)
            .context("the file is no XLSX: it is cut short")
    };
    let half = |bytes: &[u8], at: usize| {
        bytes
            .get(at..at + 2)
            .and_then(|b| b.try_into().ok())
            .map(u16::from_le_bytes)
            .context("the file is no XLSX: it is cut short")
    };
    let (size, from) = (u64::from(word(&end, at + 12)?), u64::from(word(&end, at + 16)?));
    ensure!(
        size <= DIRECTORY_BYTES_MAX && from + size <= length,
        "the file is no XLSX that we can read: its list of parts is too large"
    );
    file.seek(SeekFrom::Start(from))?;
    let mut list = vec![0; usize::try_from(size)?];
    file.read_exact(&mut list)?;
    let (mut place, mut unpacked) = (0, 0);
    while list.get(place..place + 4) == Some(b"PK\x01\x02".as_slice()) {
        let (method, packed, offset) = (half(&list, place + 10)?, word(&list, place + 20)?, word(&list, place + 42)?);
        place += 46
            + usize::from(half(&list, place + 28)?)
            + usize::from(half(&list, place + 30)?)
            + usize::from(half(&list, place + 32)?);
        let mut head = [0; 30];
        file.seek(SeekFrom::Start(offset.into()))?;
        file.read_exact(&mut head)?;
        file.seek_relative(i64::from(half(&head, 26)?) + i64::from(half(&head, 28)?))?;
        let part = file.by_ref().take(packed.into());
        let room = UNPACKED_BYTES_MAX - unpacked + 1;
        unpacked += match method {
            0 => io::copy(&mut part.take(room), &mut io::sink())?,
            8 => io::copy(&mut flate2::read::DeflateDecoder::new(part).take(room), &mut io::sink())?,
            other => bail!("the XLSX is packed by method {other}; it may be 0 or 8"),
        };
        ensure!(unpacked <= UNPACKED_BYTES_MAX, "the XLSX unpacks to more than {UNPACKED_BYTES_MAX} bytes");
    }
    Ok(())
}

/// A cell that a spreadsheet takes for text, whatever it begins with.
pub fn as_text(cell: &str) -> String {
    if acts(cell) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests;
