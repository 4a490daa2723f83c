import MMoEFiles

/// Why a file could not be read or written, in one line: file, place in it, what was found, what
/// was expected, what to do.
public struct HDF5Error: Error, CustomStringConvertible, Equatable {
  /// What kind of failure it is, for callers that can go on with another file.
  public enum Reason: Sendable {
    /// The file, or something asked for in it, does not exist.
    case missing
    /// The file does not carry mmoe's user block.
    case notACheckpoint
    /// A checkpoint that is shorter than it was when complete.
    case truncated
    /// A checkpoint whose bytes have changed.
    case damaged
    /// A checkpoint of a later container version.
    case newerVersion
    /// Malformed, or of a content that is refused.
    case refused
    /// Something is there, but of another type, shape or number.
    case mismatch
    /// The system does not let the file be read.
    case unreadable
    /// The file could not be written; an earlier one of this name is unchanged.
    case unwritable
  }

  public let reason: Reason
  /// Path of the file as the caller gave it.
  public let file: String
  public let message: String

  public var description: String { "\(file): \(message)" }

  /// Names inside a file are a stranger's.
  init(_ reason: Reason, _ file: String, _ message: String) {
    self.reason = reason
    self.file = oneLine(file)
    self.message = oneLine(message)
  }
}
