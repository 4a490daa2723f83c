import Foundation

/// What could not be done with a file or folder.
public struct FileFailure: FaultError, Equatable {
  public let fault: Fault
  package var path: String { fault.file ?? "" }
  /// What cannot be done, the system's reason, and the remedy.
  package var message: String { fault.message }

  public init(_ fault: Fault) { self.fault = fault }

  /// - Parameter code: the system's reason.
  init(writing path: String, _ code: Int32) {
    let (found, remedy) =
      switch code {
      case ENOENT: ("its folder does not exist", "create it first")
      case ENOSPC, EDQUOT: (systemReason(code), "free space and try again, nothing was replaced")
      case ENAMETOOLONG: (systemReason(code), "choose a shorter name")
      default: (systemReason(code), "choose a place that you can write to")
      }
    self.init(path, found: "cannot be written: \(found)", remedy: remedy)
  }
}
