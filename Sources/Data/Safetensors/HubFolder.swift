import Foundation

/// A folder in the layout of Hugging Face's models.
public enum HubFolder {
  /// Whether a path is one.
  public static func isOne(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: path + "/config.json")
  }
}
