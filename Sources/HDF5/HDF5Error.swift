import MMoEFiles

/// Why a file could not be read or written.
public struct HDF5Error: FaultError, Equatable {
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
  public let fault: Fault
  /// Path of the file as the caller gave it.
  package var file: String { fault.file ?? "" }
  package var message: String { fault.message }

  public init(_ fault: Fault) { (reason, self.fault) = (.refused, fault) }

  init(
    _ reason: Reason, _ file: String, field: String? = nil, found: String, expected: String? = nil,
    remedy: String? = nil
  ) {
    self.reason = reason
    fault = Fault(file, field: field, found: found, expected: expected, remedy: remedy)
  }

  /// - Parameter message: a text that does not have a fault's form.
  init(_ reason: Reason, _ file: String, _ message: String) { self.init(reason, file, found: message) }
}
