//! The one service of a product that mints, renews, revokes and checks its tokens.
pub mod authority;
pub mod clock;
pub mod keys;
pub mod store;
pub mod token;
pub mod transport;
