use super::*;
use proptest::prelude::*;

const PROTOCOLS: &[&str] = &["json", "jt808"];

fn reader() -> Reader<'static> {
    Reader { protocols: PROTOCOLS, sockets: &["jt808"], id_hash: &|_| "00".repeat(32) }
}

fn cells(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

#[test]
fn headings_are_known_in_both_languages_and_any_spelling() {
    for (heading, field) in [
        ("车牌号", Field::Plate),
        ("Licence plate", Field::Plate),
        ("手机号码", Field::Phone),
        ("frame_number", Field::FrameNumber),
        ("ICCID", Field::Iccid),
        (" IMEI ", Field::Ident),
    ] {
        assert_eq!(Field::of_heading(heading), Some(field), "{heading}");
    }
    assert_eq!(Field::of_heading("备注"), None);
    let twice = mapping_of(&cells(&["车牌", "备注", "plate"]));
    assert_eq!(twice, [Some(Field::Plate), None, None]);
    for (field, name, _) in FIELDS {
        assert_eq!(Field::of_name(name), Some(field));
        assert_eq!(Field::of_heading(name), Some(field), "an export can be imported");
    }
}

#[test]
fn one_fault_names_field_value_and_what_is_allowed() {
    let mapping = [Some(Field::Name), Some(Field::Phone), Some(Field::Plate), Some(Field::Kind)];
    let faults = reader().understand(&cells(&["张三", "12345", "无牌", "boat"]), &mapping).unwrap_err();
    let said: Vec<_> = faults.iter().map(|f| (f.field, f.value.as_str(), f.code)).collect();
    assert_eq!(
        said,
        [("phone", "12345", "phone_form"), ("plate", "无牌", "plate_form"), ("kind", "boat", "unknown_word")]
    );
    assert!(faults.iter().all(|f| !f.allowed.is_empty()));
}

#[test]
fn what_belongs_together_is_asked_for() {
    let field_of =
        |texts: &[&str], mapping: &[Option<Field>]| reader().understand(&cells(texts), mapping).unwrap_err()[0].field;
    assert_eq!(field_of(&["张三"], &[Some(Field::Name)]), "phone");
    assert_eq!(field_of(&["13800000001"], &[Some(Field::Phone)]), "name");
    assert_eq!(field_of(&["湘H12345"], &[Some(Field::Plate)]), "kind");
    assert_eq!(field_of(&["T1"], &[Some(Field::Ident)]), "protocol");
    assert_eq!(field_of(&[""], &[Some(Field::Plate)]), "plate");
    assert!(reader().understand(&cells(&["T1", "jt808"]), &[Some(Field::Ident), Some(Field::Protocol)]).is_ok());
}

#[test]
fn an_id_number_is_kept_as_hash_and_last_four_only() {
    // The example of GB 11643-1999, annex A.
    assert!(is_id_number("11010519491231002X"));
    assert!(!is_id_number("110105194912310021"));
    let mapping = [Some(Field::Name), Some(Field::Phone), Some(Field::IdNumber)];
    let kept = reader().understand(&cells(&["张三", "138 0000 0001", "11010519491231002x"]), &mapping).unwrap();
    assert_eq!((kept["id_number_last4"].as_str(), kept["phone"].as_str()), (Some("002X"), Some("+8613800000001")));
    assert!(!kept.to_string().contains("110105"));
    let fault = &reader().understand(&cells(&["张三", "13800000001", "110105194912310021"]), &mapping).unwrap_err()[0];
    assert_eq!(fault.value, "…0021", "a mistyped number is not repeated either");
}

#[test]
fn what_is_kept_until_the_import_holds_no_id_number() {
    let mut row = cells(&["11010519491231002X", "110105194912310021", "11010519491231002X"]);
    reader().seal(&mut row, &[None, Some(Field::IdNumber), Some(Field::IdNumber)]);
    assert!(row.iter().all(|cell| !cell.contains("110105")), "{row:?}");
    let mapping = [Some(Field::Name), Some(Field::Phone), Some(Field::IdNumber)];
    let kept = reader().understand(&cells(&["张三", "13800000001", &row[2]]), &mapping).unwrap();
    assert_eq!(kept["id_number_last4"], "002X");
}

#[test]
fn what_a_spreadsheet_has_spoilt_is_refused_by_its_name() {
    for (field, value) in [
        (Field::Iccid, "8.986E+19"),
        (Field::Ident, "1.38E+11"),
        (Field::Phone, "1.38E+10"),
        (Field::Batch, "2E+15"),
        (Field::Name, "#N/A"),
        (Field::Plate, "#REF!"),
    ] {
        let fault = field.understand(value, PROTOCOLS).unwrap_err();
        assert_eq!((fault.field, fault.value.as_str(), fault.code), (field.name(), value, "spoilt"));
    }
    for fine in ["E+", "1E5", "2E+", "A1E+3"] {
        assert!(Field::Batch.understand(fine, PROTOCOLS).is_ok(), "{fine}");
    }
}

#[test]
fn an_identifier_of_ours_is_no_trackers() {
    let fault = Field::Ident.understand("RideGuard-1", PROTOCOLS).unwrap_err();
    assert_eq!((fault.code, fault.allowed.contains("not beginning with rideguard")), ("ident_form", true));
}

#[test]
fn a_first_line_of_values_is_told_from_headings() {
    assert!(holds_values(&cells(&["张三", "13800000001"])));
    assert!(holds_values(&cells(&["湘H12345", "red"])));
    assert!(!holds_values(&cells(&["编号", "备注2", "列1"])), "somebody says what they hold");
    assert!(!holds_values(&cells(&["车牌", "湘H12345"])), "a heading that we know");
}

proptest! {
    #[test]
    fn no_cell_panics_and_what_is_kept_is_understood_again(text in "\\PC{0,40}|[0-9 +-]{0,20}|[湘H0-9]{0,9}") {
        for field in Field::all() {
            if let Ok(kept) = field.understand(&text, PROTOCOLS) {
                prop_assert_eq!(field.understand(&kept, PROTOCOLS), Ok(kept.clone()), "{:?}", field);
            }
        }
    }
}

#[test]
fn how_a_tracker_comes_is_told_by_its_column_and_a_language_without_a_socket_comes_by_mqtt() {
    let mapping = [Some(Field::Ident), Some(Field::Protocol), Some(Field::Transport)];
    let read = |texts: &[&str]| reader().understand(&cells(texts), &mapping);
    for (protocol, said, kept) in [
        ("jt808", "socket", json!("socket")),
        ("jt808", " TCP ", json!("socket")),
        ("jt808", "MQTT", json!("mqtt")),
        ("jt808", "", Value::Null),
        ("json", "", json!("mqtt")),
        ("json", "mqtt", json!("mqtt")),
    ] {
        let line = read(&["T1", protocol, said]).unwrap();
        assert_eq!((&line["profile"]["transport"], &line["transport"]), (&kept, &Value::Null), "{protocol} {said}");
    }
    for (texts, field, allowed) in [
        (["T1", "json", "socket"], "transport", "mqtt, or socket with jt808"),
        (["T1", "jt808", "pigeon"], "transport", "mqtt or socket"),
        (["T1", "", "socket"], "protocol", "json, jt808"),
        (["", "", "socket"], "ident", "needed beside profile, tracker_model, iccid, sim_number, batch, transport"),
    ] {
        let faults = read(&texts).unwrap_err();
        assert_eq!((faults.len(), faults[0].field, faults[0].allowed.as_str()), (1, field, allowed), "{texts:?}");
    }
    assert_eq!(Field::of_heading("接入方式"), Some(Field::Transport));
}
