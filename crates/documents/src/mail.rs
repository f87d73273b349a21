//! tmp
pub(crate) fn read(_: &[u8], _: &crate::Limits) -> crate::Result<crate::Text> { todo!() }
pub(crate) fn read_mailbox(_: &[u8], _: &crate::Limits) -> crate::Result<Vec<crate::Text>> { todo!() }
