//! A photo of what was fitted: taken if somebody wants it, small, and without a word of where and when.

use super::AT_THE_DOOR;
use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types;
use crate::api::vehicles::id;
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

/// Largest photo, bytes: 1,600 pixels of a wheel and a plate as a JPEG have 200 KiB. The table has the same limit.
pub(in crate::api) const PHOTO_BYTES_MAX: usize = 300 * 1024;
/// Most visits of a vehicle in one answer: nobody fits a vehicle more often.
const VISITS_MAX: i32 = 50;

/// What a file is by its first bytes, and whether it says more than what is seen.
#[derive(Debug, PartialEq, Eq)]
enum Picture {
    /// Only what is seen.
    Plain(&'static str),
    /// A camera's words are in it: place, time, maker.
    Talking,
    /// None of the kinds that are kept.
    Other,
}

/// Looks at the head of a file, and through its parts for what cameras add.
fn picture(bytes: &[u8]) -> Picture {
    let talks = match bytes {
        [0xff, 0xd8, 0xff, ..] => jpeg_talks(&bytes[2..]).map(|talks| ("image/jpeg", talks)),
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, rest @ ..] => {
            png_talks(rest).map(|talks| ("image/png", talks))
        }
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', rest @ ..] => {
            webp_talks(rest).map(|talks| ("image/webp", talks))
        }
        _ => None,
    };
    match talks {
        Some((media, false)) => Picture::Plain(media),
        Some((_, true)) => Picture::Talking,
        None => Picture::Other,
    }
}

/// Segments until the picture begins (ITU-T T.81, B.1.1); EXIF and XMP stand in APP1. `None`: it is broken.
fn jpeg_talks(mut rest: &[u8]) -> Option<bool> {
    loop {
        let [0xff, marker, high, low, ..] = *rest else { return None };
        match marker {
            0xda => return Some(false),
            0xe1 => return Some(true),
            _ => rest = rest.get(2 + usize::from(u16::from_be_bytes([high, low])).max(2)..)?,
        }
    }
}

/// Chunks (PNG, third edition, section 5.3) until the end.
fn png_talks(mut rest: &[u8]) -> Option<bool> {
    loop {
        let (head, after) = rest.split_at_checked(8)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        match &head[4..] {
            b"IEND" => return Some(false),
            b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt" | b"tIME" => return Some(true),
            _ => rest = after.get(length.checked_add(4)?..)?,
        }
    }
}

/// Chunks of RIFF (RFC 9649, section 2.3) until the end.
fn webp_talks(mut rest: &[u8]) -> Option<bool> {
    let mut has_picture = false;
    while let Some((head, after)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        match &head[..4] {
            b"EXIF" | b"XMP " => return Some(true),
            name => has_picture |= name.starts_with(b"VP8"),
        }
        rest = after.get(length.checked_add(length % 2)?..).unwrap_or_default();
    }
    has_picture.then_some(false)
}

/// The photo of a visit, or another in its place: JPEG, PNG or WebP, at most 300 KiB, without EXIF.
#[utoipa::path(put, path = "/door/visits/{id}/photo", operation_id = "put_door_photo", tag = "door", params(("id" = types::Id, Path)), request_body(content = Vec<u8>, content_type = "application/octet-stream"), security(("bearer" = ["installer", "operator", "admin"])), responses((status = 200, description = "the visit", body = types::DoorVisit), (status = 409, description = "the visit is over")))]
pub(in crate::api) async fn put_photo(
    State(api): State<Api>,
    person: Person,
    Path(visit): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    person.must_be(AT_THE_DOOR)?;
    let visit = id(&visit, "id")?;
    let bytes = to_bytes(body, PHOTO_BYTES_MAX).await.map_err(|_| too_large())?;
    let media = match picture(&bytes) {
        Picture::Plain(media) => media,
        Picture::Talking => {
            let said = "the photo holds words of its camera, such as where it was taken; send it without";
            return Err(Problem::bad(Code::PhotoDetails, said, json!({ "field": "photo" })));
        }
        Picture::Other => {
            let said = "this is no photo; it must be a JPEG, a PNG or a WebP";
            return Err(Problem::bad(Code::PhotoForm, said, json!({ "field": "photo" })));
        }
    };
    let client = api.pool.get().await?;
    let row = client
        .query_one("SELECT api_door_put_photo($1, $2, $3, $4)", &[&person.session, &visit, &media, &bytes.as_ref()])
        .await?;
    Ok(Json(row.get(0)))
}

fn too_large() -> Problem {
    let said = format!("the photo is larger than {PHOTO_BYTES_MAX} bytes");
    Problem::coded(
        StatusCode::PAYLOAD_TOO_LARGE,
        Code::TooLarge,
        said,
        json!({ "field": "photo", "bytes_max": PHOTO_BYTES_MAX }),
    )
}

/// The photo of a visit. Who looks at one that another installer took leaves a row in the audit.
#[utoipa::path(get, path = "/door/visits/{id}/photo", operation_id = "door_photo", tag = "door", params(("id" = types::Id, Path)), security(("bearer" = ["installer", "operator", "admin"])), responses((status = 200, description = "the photo", content((Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"), (Vec<u8> = "image/webp")))))]
pub(in crate::api) async fn photo(
    State(api): State<Api>,
    person: Person,
    Path(visit): Path<String>,
) -> Result<Response, Problem> {
    person.must_be(AT_THE_DOOR)?;
    let visit = id(&visit, "id")?;
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT * FROM api_door_photo($1, $2)", &[&person.session, &visit]).await?;
    let (media, content): (String, Vec<u8>) = (row.get(0), row.get(1));
    Ok(([(header::CONTENT_TYPE, media)], content).into_response())
}

/// A photo as an owner's export has it: its name, and its bytes.
pub(in crate::api) async fn photos_of_owner(api: &Api, person: &Person) -> Result<Vec<(String, Vec<u8>)>, Problem> {
    let rows = api.pool.get().await?.query("SELECT * FROM api_my_door_photos($1)", &[&person.session]).await?;
    let named = rows.iter().map(|row| {
        let (visit, media): (i64, &str) = (row.get(0), row.get(1));
        let ending = media.trim_start_matches("image/");
        (format!("fitting-{visit}.{ending}"), row.get(2))
    });
    Ok(named.collect())
}

/// Of which vehicle.
#[derive(Deserialize, IntoParams)]
pub(in crate::api) struct VisitsAsked {
    /// The vehicle.
    #[param(value_type = types::Id)]
    vehicle_id: String,
}

/// The visits at a vehicle of my organisation, the newest first.
#[utoipa::path(get, path = "/door/visits", operation_id = "list_door_visits", tag = "door", params(VisitsAsked), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "visits", body = types::DoorVisits), (status = 404, description = "no such vehicle of yours")))]
pub(in crate::api) async fn visits(
    State(api): State<Api>,
    person: Person,
    Query(asked): Query<VisitsAsked>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Operator, Role::Admin])?;
    let vehicle = id(&asked.vehicle_id, "vehicle_id")?;
    let client = api.pool.get().await?;
    let rows =
        client.query("SELECT * FROM api_door_visits_of($1, $2, $3)", &[&person.session, &vehicle, &VISITS_MAX]).await?;
    Ok(Json(json!({ "visits": rows.iter().map(|r| r.get(0)).collect::<Vec<Value>>() })))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JFIF: &[u8] = b"\xff\xe0\0\x04JF";
    const PICTURE: &[u8] = b"\xff\xda\0\x02\x01\x02\xff\xd9";

    fn jpeg(segments: &[&[u8]]) -> Vec<u8> {
        [&[0xff, 0xd8][..], &segments.concat(), PICTURE].concat()
    }

    fn png(chunks: &[&[u8; 4]]) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        for name in chunks {
            bytes.extend([0, 0, 0, 1]);
            bytes.extend(*name);
            bytes.extend([7, 0, 0, 0, 0]);
        }
        bytes
    }

    fn webp(chunks: &[&[u8; 4]]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WEBP".to_vec();
        for name in chunks {
            bytes.extend(*name);
            bytes.extend([1, 0, 0, 0, 7, 0]);
        }
        bytes
    }

    #[test]
    fn a_photo_is_known_by_its_bytes_and_one_that_tells_its_place_is_told_apart() {
        for (bytes, is) in [
            (jpeg(&[JFIF]), Picture::Plain("image/jpeg")),
            (jpeg(&[JFIF, b"\xff\xe1\0\x08Exif\0\0"]), Picture::Talking),
            (png(&[b"IHDR", b"IDAT", b"IEND"]), Picture::Plain("image/png")),
            (png(&[b"IHDR", b"eXIf", b"IEND"]), Picture::Talking),
            (webp(&[b"VP8 "]), Picture::Plain("image/webp")),
            (webp(&[b"VP8X", b"VP8 ", b"EXIF"]), Picture::Talking),
            (webp(&[b"ABCD"]), Picture::Other),
            (b"GIF89a".to_vec(), Picture::Other),
            (b"<svg onload=alert(1)>".to_vec(), Picture::Other),
            (Vec::new(), Picture::Other),
        ] {
            assert_eq!(picture(&bytes), is, "{bytes:?}");
        }
    }

    #[test]
    fn a_photo_that_breaks_off_is_none_and_panics_nowhere() {
        for whole in [jpeg(&[JFIF]), png(&[b"IHDR", b"IDAT", b"IEND"]), webp(&[b"VP8X", b"VP8 "])] {
            for n in 0..whole.len() {
                assert_ne!(picture(&whole[..n]), Picture::Talking);
            }
        }
        assert_eq!(picture(b"\xff\xd8\xff\xe0\xff\xff"), Picture::Other);
        assert_eq!(picture(&jpeg(&[b"\xff\xe0\0\0"])), Picture::Plain("image/jpeg"));
    }
}
