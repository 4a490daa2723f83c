import Foundation

/// What could not be done with a file or folder, in one line.
public struct FileFailure: Error, Equatable, Sendable, CustomStringConvertible {
  public let path: String
  /// What cannot be done, the system's reason, and the remedy.
  public let message: String
  public var description: String { oneLine("\(path): \(message)") }

  public init(_ path: String, _ message: String) { (self.path, self.message) = (path, message) }

  /// - Parameter code: the system's reason.
  init(writing path: String, _ code: Int32) {
    let remedy =
      switch code {
      case ENOENT: "its folder does not exist; create it first"
      case ENOSPC, EDQUOT: "\(systemReason(code)); free space and try again, nothing was replaced"
      case ENAMETOOLONG: "\(systemReason(code)); choose a shorter name"
      default: "\(systemReason(code)); choose a place that you can write to"
      }
    self.init(path, "cannot be written: \(remedy)")
  }
}
