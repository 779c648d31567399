//! What files can be read from. One file for each kind of place.

mod bucket;
mod hub;
mod paced;
mod place;
mod web;

pub(super) use bucket::{Bucket, read_error};
pub use hub::HubConfig;
pub(super) use hub::{Hub, HubPath};
pub use paced::Pace;
pub(super) use paced::Paced;
pub(super) use place::{Object, Place, ReadError, read};
pub(super) use web::Web;
