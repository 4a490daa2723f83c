import Foundation

/// The system's reason for a failed operation, by its `errno`.
package func systemReason(_ code: Int32) -> String { String(cString: strerror(code)) }

/// The system's reason for a failed file operation, without Foundation's wrapping.
package func systemReason(of error: any Error) -> String {
  let error = error as NSError
  let underlying = error.userInfo[NSUnderlyingErrorKey] as? NSError ?? error
  if underlying.domain == NSPOSIXErrorDomain, let code = Int32(exactly: underlying.code) {
    return systemReason(code)
  }
  switch CocoaError.Code(rawValue: error.code) {
  case _ where error.domain != NSCocoaErrorDomain: break
  case .fileReadNoSuchFile, .fileNoSuchFile: return systemReason(ENOENT)
  case .fileReadNoPermission, .fileWriteNoPermission: return systemReason(EACCES)
  case .fileReadUnknown: return "not a readable file"
  case .fileWriteOutOfSpace: return systemReason(ENOSPC)
  default: break
  }
  return oneLine(error.localizedDescription)
}
