import Foundation

/// A folder in the layout of Hugging Face's models.
package enum HubFolder {
  /// Whether a path is one.
  package static func isOne(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: path + "/config.json")
  }
}
