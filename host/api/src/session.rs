//! `/login` and `/logout`: sessions of people in a browser.

pub(crate) mod login;
pub(crate) mod logout;
