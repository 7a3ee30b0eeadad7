//! Texts of SMB: names in UTF-16, and what states are called.

/// Characters of a name that rows keep.
const LIMIT: usize = 512;

/// A name.
pub(super) fn text(bytes: &[u8]) -> Box<str> {
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    let characters = char::decode_utf16(units).take(LIMIT).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
    characters.map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect::<String>().into()
}

/// A state other than success: its name, where it is a usual one, and its number (MS-ERREF section 2.3.1).
pub(super) fn status(status: u32) -> Box<str> {
    let name = match status & 0xffff {
        5 if status >> 16 == 0x8000 => "BUFFER_OVERFLOW",
        6 if status >> 16 == 0x8000 => "NO_MORE_FILES",
        _ if status >> 16 != 0xc000 => "",
        0x0016 => "MORE_PROCESSING_REQUIRED",
        0x0001 => "UNSUCCESSFUL",
        0x0003 => "INVALID_INFO_CLASS",
        0x0008 => "INVALID_HANDLE",
        0x000d => "INVALID_PARAMETER",
        0x000f => "NO_SUCH_FILE",
        0x0010 => "INVALID_DEVICE_REQUEST",
        0x0011 => "END_OF_FILE",
        0x0022 => "ACCESS_DENIED",
        0x0023 => "BUFFER_TOO_SMALL",
        0x0033 => "OBJECT_NAME_INVALID",
        0x0034 => "OBJECT_NAME_NOT_FOUND",
        0x0035 => "OBJECT_NAME_COLLISION",
        0x003a => "OBJECT_PATH_NOT_FOUND",
        0x0043 => "SHARING_VIOLATION",
        0x0054 => "FILE_LOCK_CONFLICT",
        0x0055 => "LOCK_NOT_GRANTED",
        0x0056 => "DELETE_PENDING",
        0x005e => "NO_LOGON_SERVERS",
        0x0061 => "PRIVILEGE_NOT_HELD",
        0x006a => "WRONG_PASSWORD",
        0x006d => "LOGON_FAILURE",
        0x006e => "ACCOUNT_RESTRICTION",
        0x0071 => "PASSWORD_EXPIRED",
        0x0072 => "ACCOUNT_DISABLED",
        0x007f => "DISK_FULL",
        0x009a => "INSUFFICIENT_RESOURCES",
        0x00ac => "PIPE_NOT_AVAILABLE",
        0x00ae => "PIPE_BUSY",
        0x00b0 => "PIPE_DISCONNECTED",
        0x00b5 => "IO_TIMEOUT",
        0x00ba => "FILE_IS_A_DIRECTORY",
        0x00bb => "NOT_SUPPORTED",
        0x00c9 => "NETWORK_NAME_DELETED",
        0x00ca => "NETWORK_ACCESS_DENIED",
        0x00cc => "BAD_NETWORK_NAME",
        0x00e5 => "INTERNAL_ERROR",
        0x0101 => "DIRECTORY_NOT_EMPTY",
        0x0103 => "NOT_A_DIRECTORY",
        0x0120 => "CANCELLED",
        0x0128 => "FILE_CLOSED",
        0x0192 => "NETLOGON_NOT_STARTED",
        0x0203 => "USER_SESSION_DELETED",
        0x0225 => "NOT_FOUND",
        0x0257 => "PATH_NOT_COVERED",
        0x035c => "NETWORK_SESSION_EXPIRED",
        _ => "",
    };
    if name.is_empty() { format!("0x{status:08x}").into() } else { format!("STATUS_{name} (0x{status:08x})").into() }
}
