import Foundation
import Synchronization

/// A folder that goes away with its owner, or with the process.
public final class ScratchFolder: Sendable {
  public let path: String

  /// Owners that live as long as the process are not asked at its end.
  private static let living: Mutex<Set<String>> = {
    atexit { for path in ScratchFolder.living.withLock({ $0 }) { try? FileManager.default.removeItem(atPath: path) } }
    return Mutex([])
  }()

  public init() {
    path = NSTemporaryDirectory() + "mmoe-test-" + UUID().uuidString
    try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    _ = ScratchFolder.living.withLock { $0.insert(path) }
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
    _ = ScratchFolder.living.withLock { $0.remove(path) }
  }

  /// A path inside the folder.
  public func callAsFunction(_ name: String) -> String { path + "/" + name }
}
