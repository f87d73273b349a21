//! tmp
pub(crate) fn read(_: &[u8], _: &crate::Limits) -> crate::Result<crate::Text> {
    todo!()
}
