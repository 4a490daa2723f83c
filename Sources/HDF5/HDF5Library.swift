import CHDF5
import Foundation
import MMoEFiles

/// The one owner of the HDF5 library: builds of it may not be thread-safe, so every call passes
/// through `sync`.
package final class HDF5Library: Sendable {
  package static let shared = HDF5Library()

  // Recursive, since the last reference to a reader may go away, and close its file, inside a call.
  private let lock = NSRecursiveLock()

  private init() {}

  /// Runs `body` while no other thread is inside the library.
  package func sync<Result>(_ body: () throws -> Result) rethrows -> Result {
    lock.lock()
    defer { lock.unlock() }
    mmoe_h5_enter()
    return try body()
  }

  /// Runs one function of the shim.
  ///
  /// - Parameters:
  ///   - file: name for the error.
  ///   - reason: what a failure means.
  ///   - remedy: ends the error's line.
  ///   - function: gets the buffer for a fault, returns nil or false on failure.
  func call<Result>(
    _ file: String, _ reason: HDF5Error.Reason, remedy: String = "",
    _ function: (UnsafeMutablePointer<CChar>) -> Result?
  ) throws -> Result {
    try withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(MMOE_H5_FAULT_SIZE)) { fault in
      fault.initialize(repeating: 0)
      guard let start = fault.baseAddress, let result = sync({ function(start) }) else {
        throw HDF5Error(reason, file, fault.baseAddress.map { String(cString: $0) + remedy } ?? "")
      }
      return result
    }
  }
}

/// A shim function's status as `call` takes it.
func succeeded(_ status: Bool) -> Void? { status ? () : nil }

/// A shim function's id as `call` takes it.
func valid(_ id: mmoe_h5_id) -> mmoe_h5_id? { id >= 0 ? id : nil }
