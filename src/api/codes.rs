//! The words for programs that refusals carry: one list, which is the document's, the page's and docs/errors.md's.

use crate::domain::PlateError;
use crate::domain::enrolment::Fault;
use crate::domain::plate::{PLATE_CHARS_MAX, PLATE_CHARS_MIN};
use crate::domain::schedule::{ScheduleError, WINDOWS_MAX};
use crate::domain::shape::{
    CORRIDOR_LENGTH_M_MIN, CORRIDOR_WIDTH_M_MAX, CORRIDOR_WIDTH_M_MIN, ShapeError, ZONE_CORNERS_MAX,
    ZONE_EXTENT_DEG_MAX, ZONE_LAT_DEG_MAX, ZONE_RADIUS_M_MAX, ZONE_RADIUS_M_MIN,
};
use crate::domain::zone::{DWELL_S_MAX, DWELL_S_MIN, DwellError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Why something was refused, as one word. docs/errors.md says what each means and which values it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ErrorCode)]
#[allow(missing_docs)] // docs/errors.md has them; a test holds it against this list
pub enum Code {
    NotUnderstood,
    NotANumber,
    NotATime,
    OutOfRange,
    TextLength,
    SearchLength,
    PlateLength,
    PlateCharacter,
    PlateWithoutDigit,
    SpanLength,
    UnknownWord,
    OneOf,
    NotForRole,
    Corners,
    CornerOutside,
    BadBox,
    BadCursor,
    NoSuchTile,
    CharacterNotKept,
    ValueNotKept,
    TooSlow,
    NotSupported,
    WindowTooLong,
    WindowBackwards,
    AreaTooLarge,
    ViewTooLarge,
    TooManyPieces,
    TooManyRides,
    HoldEnd,
    CaseMissing,
    NotLoggedIn,
    SessionEnded,
    WrongLogin,
    SecondFactorNeeded,
    SecondFactorEnrol,
    WrongCode,
    WrongPassword,
    PasswordGuessable,
    PhoneForm,
    LoginForm,
    LoginTaken,
    PhoneTaken,
    CodeEnded,
    NotYourRole,
    NoSuchOrganisation,
    AlreadyIn,
    NotInYet,
    AccountDisabled,
    Yourself,
    FactorCompulsory,
    NoSecondFactor,
    WrongRole,
    ForeignPage,
    FamilyRight,
    NoGrant,
    ZoneOfOwner,
    HoldRole,
    HoldOfOtherCase,
    NotFound,
    NoSuchPlate,
    UnknownPhone,
    UnknownCode,
    UnknownShare,
    NoSuchPerson,
    MethodNotAllowed,
    TooLarge,
    NoTracker,
    ZonesFull,
    PhonesFull,
    HandOverOpen,
    PositioningOff,
    ConsentWithdrawn,
    OwnVehicle,
    NoOwner,
    FamilyFull,
    SharesFull,
    NoIncident,
    HoldReleased,
    PlateShared,
    IncidentChanged,
    IncidentClosed,
    AlreadyAnswered,
    CredentialExists,
    CredentialChanged,
    TrackerExists,
    TrackerIdent,
    ConfirmWithdrawal,
    UnknownLabel,
    PhoneOfOther,
    VehicleOfOther,
    VehicleHasTracker,
    TrackerElsewhere,
    VisitOpen,
    VisitOver,
    ChecksMissing,
    KeyReused,
    PhotoForm,
    PhotoDetails,
    CorridorPoints,
    ZoneTooWide,
    ZoneTooShort,
    ZoneTooNarrow,
    ZoneAtEdge,
    DwellTime,
    ScheduleWindows,
    ScheduleDays,
    ScheduleMinutes,
    PolygonInvalid,
    PolygonArea,
    TooManyLogins,
    TooManyPhoneWords,
    TooManyStreams,
    TooManyCodes,
    TooManyViews,
    TooManyExports,
    Unavailable,
    Internal,
    FieldForm,
    VersionMissing,
    VersionChanged,
    KeyUsed,
    PlateTaken,
    IdentTaken,
    NoTable,
    ImportBegun,
    ImportNotChecked,
    ImportHasBadRows,
    ImportsFull,
    /// A refusal without a word of its own; its message says why.
    Refused,
}

impl Code {
    /// Its word.
    pub(super) fn word(self) -> Value {
        json!(self)
    }
}

/// What is known of a refusal by the domain: its word and values.
pub(super) trait Known: std::fmt::Display {
    /// Both.
    fn known(&self) -> (Code, Value);
}

impl Known for PlateError {
    fn known(&self) -> (Code, Value) {
        match self {
            Self::Length { said, characters } => (
                Code::PlateLength,
                json!({ "plate": said, "characters": characters, "min": PLATE_CHARS_MIN, "max": PLATE_CHARS_MAX }),
            ),
            Self::Character { said, character } => {
                (Code::PlateCharacter, json!({ "plate": said, "character": character.escape_debug().to_string() }))
            }
            Self::NoDigit { said } => (Code::PlateWithoutDigit, json!({ "plate": said })),
        }
    }
}

impl Known for ShapeError {
    fn known(&self) -> (Code, Value) {
        match *self {
            Self::Corners(n) => (Code::Corners, json!({ "corners": n, "min": 3, "max": ZONE_CORNERS_MAX })),
            Self::Points(n) => (Code::CorridorPoints, json!({ "points": n, "min": 2, "max": ZONE_CORNERS_MAX })),
            Self::OutOfRange { lat_deg, lon_deg } => (Code::CornerOutside, json!({ "lat": lat_deg, "lon": lon_deg })),
            Self::Radius(m) => range("radius_m", m, ZONE_RADIUS_M_MIN, ZONE_RADIUS_M_MAX),
            Self::Width(m) => range("width_m", m, CORRIDOR_WIDTH_M_MIN, CORRIDOR_WIDTH_M_MAX),
            Self::Length(m) => (Code::ZoneTooShort, json!({ "m": m, "m_min": CORRIDOR_LENGTH_M_MIN })),
            Self::Edge { lat_deg, lon_deg } => {
                (Code::ZoneAtEdge, json!({ "lat": lat_deg, "lon": lon_deg, "lat_max": ZONE_LAT_DEG_MAX }))
            }
            Self::Extent(deg) => {
                (Code::ZoneTooWide, json!({ "degrees": (deg * 10.0).round() / 10.0, "max": ZONE_EXTENT_DEG_MAX }))
            }
        }
    }
}

impl Known for ScheduleError {
    fn known(&self) -> (Code, Value) {
        match self {
            Self::Clock(said) => (Code::UnknownWord, json!({ "field": "time_zone", "value": said })),
            Self::Windows(n) => (Code::ScheduleWindows, json!({ "windows": n, "min": 1, "max": WINDOWS_MAX })),
            Self::Days(days) => (Code::ScheduleDays, json!({ "days": days })),
            Self::Minutes { from_min, to_min } => {
                (Code::ScheduleMinutes, json!({ "from_min": from_min, "to_min": to_min }))
            }
        }
    }
}

impl Known for DwellError {
    fn known(&self) -> (Code, Value) {
        (Code::DwellTime, json!({ "dwell_s": self.0, "min": DWELL_S_MIN, "max": DWELL_S_MAX }))
    }
}

impl Known for Fault {
    fn known(&self) -> (Code, Value) {
        (Code::FieldForm, json!({ "field": self.field, "value": self.value, "allowed": self.allowed }))
    }
}

fn range(field: &str, value: f64, min: f64, max: f64) -> (Code, Value) {
    (Code::OutOfRange, json!({ "field": field, "value": value, "min": min, "max": max }))
}
