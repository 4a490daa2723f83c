import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport

/// The pairs that `multimodal` uses without `--data`: emoji of Debian's Noto font with the names of Unicode's list.
public enum BuiltInPairs {
  /// Another division or form of the pictures needs another version here, or an old folder would be taken for a new one.
  package static let folderName = "emoji-1"

  /// The folder's path; it is made first where it is missing.
  ///
  /// - Throws: `DataError` with the command that installs the packages, or when the folder cannot be written.
  package static func prepare(
    cache: String = FilePath.folder(of: ProjectHome.cached(folderName)), sink: any TextSink
  ) throws -> String {
    let path = cache + "/" + folderName
    guard !PairFolder.isOne(path) else { return path }
    do {
      try write(EmojiImport(), to: path, sink: sink)
    } catch {
      // Another process may have made the same folder meanwhile.
      guard PairFolder.isOne(path) else { throw error }
    }
    return path
  }

  /// Writes emoji as pairs and says what is in them.
  ///
  /// - Throws: `DataError` for a missing or broken font or list, or a folder that cannot be written.
  public static func write(_ work: EmojiImport, to path: String, sink: any TextSink) throws {
    sink.line("drawing emoji \(work.speaks ? "and speaking their names " : "")to \(path)")
    let summary = try work.write(to: path)
    sink.line(
      "\(HumanFormat.grouped(summary.sequences)) emoji, \(HumanFormat.grouped(summary.pictures)) pictures of \(HumanFormat.grouped(summary.families)) families: \(HumanFormat.grouped(summary.train)) to learn from, \(summary.val) held out, \(summary.leftOut) variants of these left out"
    )
    if summary.recordings > 0 { sink.line("\(HumanFormat.grouped(summary.recordings)) recordings of their names") }
  }
}
