import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport

/// The pairs that `multimodal` uses without `--data`: emoji of Debian's Noto font with the names of Unicode's list, which are
/// spoken where the model hears them.
package enum BuiltInPairs {
  /// Another division or form of the pictures needs another version here, or an old folder would be taken for a new one.
  private static func folderName(speaks: Bool) -> String { speaks ? "emoji-speech-1" : "emoji-1" }

  /// The folder's path; it is made first where it is missing.
  ///
  /// - Parameters:
  ///   - config: whose model reads recordings or does not.
  ///   - cache: where the folder is; nil = where those of the project are.
  /// - Throws: `DataError` with the command that installs the packages, or when the folder cannot be written.
  package static func prepare(for config: RunConfig, cache: String? = nil, sink: any TextSink) throws -> String {
    var options = EmojiImport.Options()
    if config.model.modalities.contains(where: { $0.sample == AudioModality().sample }) {
      options.speech = EmojiSpeech()
    }
    let name = folderName(speaks: options.speech != nil)
    let path = (cache ?? FilePath.folder(of: ProjectHome.cached(name))) + "/" + name
    guard !PairFolder.isOne(path) else { return path }
    do {
      try write(EmojiImport(options), to: path, sink: sink)
    } catch {
      // Another process may have made the same folder meanwhile.
      guard PairFolder.isOne(path) else { throw error }
    }
    return path
  }

  /// Writes emoji as pairs and says what is in them.
  ///
  /// - Throws: `DataError` for a missing or broken font or list, or a folder that cannot be written.
  package static func write(_ work: EmojiImport, to path: String, sink: any TextSink) throws {
    sink.line("drawing emoji \(work.speaks ? "and speaking their names " : "")to \(path)")
    let drawing = PhaseProgress("drawing", unit: "emoji", sink: sink)
    let speaking = PhaseProgress("speaking", unit: "recordings", sink: sink)
    defer { (drawing.finish(), speaking.finish()) }
    let summary = try work.write(
      to: path, drawing: { drawing.update($0, of: $1) },
      speaking: {
        drawing.finish()
        speaking.update($0, of: $1)
      })
    speaking.finish()
    sink.line(
      "\(HumanFormat.grouped(summary.sequences)) emoji, \(HumanFormat.grouped(summary.pictures)) pictures of \(HumanFormat.grouped(summary.families)) families: \(HumanFormat.grouped(summary.train)) to learn from, \(summary.val) held out, \(summary.leftOut) variants of these left out"
    )
    if summary.recordings > 0 { sink.line("\(HumanFormat.grouped(summary.recordings)) recordings of their names") }
  }
}
