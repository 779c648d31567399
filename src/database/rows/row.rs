//! [`row!`] and [`table_row!`]: structs that are read from the columns of a row.
//!
//! For every database at once: sqlx's derive builds both database drivers a second time, and tuples end at 16 columns.

/// A struct whose fields, of `String` and `i64` and options of them, are the columns of a row in order.
macro_rules! row {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        pub(in crate::database) struct $name {
            $(pub(in crate::database) $field: $type,)*
        }

        impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for $name
        where
            usize: sqlx::ColumnIndex<R>,
            String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
            i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
        {
            fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
                let mut columns = 0..;
                let mut next = || columns.next().unwrap_or(usize::MAX);
                Ok($name { $($field: row.try_get(next())?),* })
            }
        }
    };
}
pub(super) use row;

/// The same of one table, with the list of its columns: the fields' names.
macro_rules! table_row {
    ($(#[$doc:meta])* $name:ident { $first:ident: $first_type:ty $(, $field:ident: $type:ty)* $(,)? }) => {
        super::row::row! { $(#[$doc])* $name { $first: $first_type $(, $field: $type)* } }

        impl $name {
            /// The columns, as a statement lists them.
            pub(in crate::database) const COLUMNS: &str = concat!(stringify!($first) $(, ", ", stringify!($field))*);
        }
    };
}
pub(super) use table_row;
