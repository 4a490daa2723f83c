import Foundation

/// The system's reason for a failed file operation, without Foundation's wrapping.
public func systemReason(of error: any Error) -> String {
  let error = error as NSError
  let underlying = error.userInfo[NSUnderlyingErrorKey] as? NSError ?? error
  if underlying.domain == NSPOSIXErrorDomain, let code = Int32(exactly: underlying.code) {
    return String(cString: strerror(code))
  }
  switch CocoaError.Code(rawValue: error.code) {
  case _ where error.domain != NSCocoaErrorDomain: break
  case .fileReadNoSuchFile, .fileNoSuchFile: return String(cString: strerror(ENOENT))
  case .fileReadNoPermission, .fileWriteNoPermission: return String(cString: strerror(EACCES))
  case .fileReadUnknown: return "not a readable file"
  case .fileWriteOutOfSpace: return String(cString: strerror(ENOSPC))
  default: break
  }
  return oneLine(error.localizedDescription)
}

/// The system's words for an `errno`.
public func systemReason(_ code: Int32) -> String { String(cString: strerror(code)) }
