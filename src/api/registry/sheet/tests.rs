use super::*;
use crate::domain::enrolment::Field;
use std::io::Write;

fn lines(bytes: &[u8]) -> anyhow::Result<Vec<(usize, Vec<String>)>> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    let mut found = Vec::new();
    read(file, &mut |number, cells| {
        found.push((number, cells));
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn chinese_tables_are_read_in_each_encoding() {
    let text = "姓名,车牌\n张三,湘H12345\n\n李四,\"湘H,1\"\n";
    let expected = vec![
        (1, vec!["姓名".into(), "车牌".into()]),
        (2, vec!["张三".into(), "湘H12345".into()]),
        (4, vec!["李四".into(), "湘H,1".to_owned()]),
    ];
    assert_eq!(lines(text.as_bytes()).unwrap(), expected);
    assert_eq!(lines(format!("\u{feff}{text}").as_bytes()).unwrap(), expected);
    assert_eq!(lines(&GB18030.encode(text).0).unwrap(), expected);
    // As Windows ends lines, and as the old Macintosh did; the last line without its end.
    for end in ["\r\n", "\r"] {
        assert_eq!(lines(text.trim_end().replace('\n', end).as_bytes()).unwrap(), expected, "{end:?}");
    }
}

#[test]
fn a_line_behind_a_cell_of_several_lines_has_its_number() {
    let found = lines(b"name,plate\r\n\"Zhang\r\nSan\",A1\r\n\r\nLi,B2").unwrap();
    assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 5]);
}

#[test]
fn a_table_needs_no_line_end_at_its_end() {
    for bytes in
        ["姓名,车牌\n张三,湘H12345".as_bytes().to_vec(), GB18030.encode("姓名,车牌\n张三,湘H12345").0.into_owned()]
    {
        assert_eq!(lines(&bytes).unwrap().last(), Some(&(2, vec!["张三".into(), "湘H12345".into()])));
    }
}

#[test]
fn a_long_table_is_cut_nowhere_by_its_blocks() {
    let text: String = (0..40_000).map(|n| format!("张三{n},车\n")).collect();
    for bytes in [text.as_bytes().to_vec(), GB18030.encode(&text).0.into_owned()] {
        let found = lines(&bytes).unwrap();
        assert_eq!(found.len(), 40_000);
        assert!(found.iter().enumerate().all(|(n, (line, cells))| *line == n + 1 && cells[0] == format!("张三{n}")));
    }
}

#[test]
fn what_is_no_table_is_refused_with_a_reason() {
    for (bytes, said) in [
        (b"".to_vec(), "the file is empty"),
        (b"PK\x03\x04 nothing".to_vec(), "no XLSX"),
        (vec![b'a', 0xff, 0xff, 0xff, b'\n'], "neither UTF-8 nor GB18030"),
        (",a".repeat(65).into_bytes(), "has 66 columns; it may have 64"),
        (",".repeat(10_000_000).into_bytes(), "a line has more than 1048576 bytes"),
        ([b"name,plate\n\"Zhang,".as_slice(), &[b'x'; 2_000_000]].concat(), "is a quote not closed?"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(), "has a password"),
    ] {
        let error = format!("{:#}", lines(&bytes).unwrap_err());
        assert!(error.contains(said), "{error}");
    }
}

/// A ZIP of one part, packed.
fn zip_of(content: &[u8], name: &str) -> Vec<u8> {
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(content).unwrap();
    let packed = packer.finish().unwrap();
    let (size, name_size) = ((packed.len() as u32).to_le_bytes(), (name.len() as u16).to_le_bytes());
    let mut file = [
        b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0".as_slice(),
        &size,
        &100u32.to_le_bytes(),
        &name_size,
        &[0, 0],
        name.as_bytes(),
        &packed,
    ]
    .concat();
    let from = (file.len() as u32).to_le_bytes();
    let list = [
        b"PK\x01\x02\x14\0\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0".as_slice(),
        &size,
        &100u32.to_le_bytes(),
        &name_size,
        &[0; 16],
        name.as_bytes(),
    ]
    .concat();
    file.extend(&list);
    file.extend(
        [b"PK\x05\x06\0\0\0\0\x01\0\x01\0".as_slice(), &(list.len() as u32).to_le_bytes(), &from, &[0, 0]].concat(),
    );
    file
}

#[test]
fn cells_may_stand_between_semicolons_or_tabs() {
    for delimiter in [",", ";", "\t"] {
        let text = format!("姓名{delimiter}\"a{delimiter};,\"{delimiter}车牌\n张三{delimiter}x{delimiter}湘H12345\n");
        for bytes in
            [text.as_bytes().to_vec(), format!("\u{feff}{text}").into_bytes(), GB18030.encode(&text).0.into_owned()]
        {
            let found = lines(&bytes).unwrap();
            assert_eq!(found[0].1, ["姓名", &format!("a{delimiter};,"), "车牌"], "{delimiter:?}");
            assert_eq!(found[1].1, ["张三", "x", "湘H12345"], "{delimiter:?}");
        }
    }
    assert_eq!(lines("车牌\n湘H12345\n".as_bytes()).unwrap()[1].1, ["湘H12345"], "one column needs none");
}

#[test]
fn a_file_beyond_the_limit_is_refused_before_it_is_read() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 30).unwrap();
    let error = read(file, &mut |_, _| panic!("it is read")).unwrap_err().to_string();
    assert!(error.contains("1073741824 bytes") && error.contains("limit of 33554432"), "{error}");
}

/// A workbook whose first sheet has these rows, as XML.
fn book(rows: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let relations = "http://schemas.openxmlformats.org/package/2006/relationships";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    for (name, text) in [
        (
            "[Content_Types].xml",
            r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#.to_owned(),
        ),
        (
            "_rels/.rels",
            format!(
                r#"<Relationships xmlns="{relations}"><Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/workbook.xml",
            format!(
                r#"<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="车辆" sheetId="1" r:id="r1"/></sheets></workbook>"#
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                r#"<Relationships xmlns="{relations}"><Relationship Id="r1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="{office}/styles" Target="styles.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/styles.xml",
            format!(
                r#"<styleSheet xmlns="{main}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>"#
            ),
        ),
        (
            "xl/worksheets/sheet1.xml",
            format!(
                r#"<worksheet xmlns="{main}"><sheetData>{rows}</sheetData><mergeCells count="1"><mergeCell ref="A4:A5"/></mergeCells></worksheet>"#
            ),
        ),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_workbook_is_read_as_people_see_it() {
    let text = |place: &str, text: &str| format!(r#"<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>"#);
    let rows = [
        format!(r#"<row r="1">{}{}{}</row>"#, text("A1", "车牌"), text("B1", "设备号"), text("C1", "批次")),
        // A number, a date, and a number that Excel has shortened.
        format!(
            r#"<row r="2">{}<c r="B2"><v>13800138000</v></c><c r="C2" s="1"><v>46327</v></c></row>"#,
            text("A2", "湘H12345")
        ),
        format!(
            r#"<row r="3" hidden="1">{}<c r="B3"><v>8.986E+19</v></c><c r="C3" t="e"><v>#N/A</v></c></row>"#,
            text("A3", "湘H12346")
        ),
        // Merged: the value stands in the first of the cells.
        format!(r#"<row r="4">{}{}</row>"#, text("A4", "湘H12347"), text("B4", "T1")),
        format!(r#"<row r="5">{}</row>"#, text("B5", "T2")),
    ];
    let found = lines(&book(&rows.concat())).unwrap();
    let cells: Vec<Vec<&str>> = found.iter().map(|(_, cells)| cells.iter().map(String::as_str).collect()).collect();
    assert_eq!(cells[1], ["湘H12345", "13800138000", "2026-11-01"]);
    assert_eq!(cells[2], ["湘H12346", "8.986E+19", "#N/A"], "a hidden row is a row");
    assert_eq!((&cells[3], &cells[4]), (&vec!["湘H12347", "T1"], &vec!["", "T2"]));
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

proptest::proptest! {
    #[test]
    fn what_an_export_writes_an_import_understands(text in "\\PC{1,20}|['=+@-]{1,4}\\PC{0,9}|[\"',;张é\u{20b9f}]{1,9}") {
        for field in Field::all().filter(|f| *f != Field::IdNumber) {
            let Ok(kept) = field.understand(&text, &["json"]) else { continue };
            let mut rows = ::csv::Writer::from_writer(Vec::new());
            rows.write_record(["a", "b"]).unwrap();
            rows.write_record([as_text(&kept), "x".into()]).unwrap();
            let utf8 = String::from_utf8(rows.into_inner().unwrap()).unwrap();
            for bytes in [format!("\u{feff}{utf8}").into_bytes(), GB18030.encode(&utf8).0.into_owned()] {
                let found = lines(&bytes).unwrap();
                proptest::prop_assert_eq!(field.understand(&found[1].1[0], &["json"]), Ok(kept.clone()));
            }
        }
    }
}

#[test]
fn a_zip_bomb_is_not_unpacked_whatever_its_list_says() {
    let bomb = zip_of(&vec![0; UNPACKED_BYTES_MAX as usize + 10], "xl/sharedStrings.xml");
    assert!(bomb.len() < 1_000_000, "{} bytes", bomb.len());
    assert!(lines(&bomb).unwrap_err().to_string().contains("unpacks to more than"));
}

#[test]
fn no_cell_of_an_export_acts() {
    assert_eq!(as_text("=1+1"), "'=1+1");
    assert_eq!(as_text("+8613800000001"), "'+8613800000001");
    assert_eq!(as_text("'=1"), "''=1", "and comes back with its own apostrophe");
    assert_eq!(as_text("湘H12345"), "湘H12345");
}
