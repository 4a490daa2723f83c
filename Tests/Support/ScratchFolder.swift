import Foundation

/// A folder that goes away with its owner.
public final class ScratchFolder: Sendable {
  public let path: String

  public init() {
    path = NSTemporaryDirectory() + "mmoe-test-" + UUID().uuidString
    try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// A path inside the folder.
  public func callAsFunction(_ name: String) -> String { path + "/" + name }
}
