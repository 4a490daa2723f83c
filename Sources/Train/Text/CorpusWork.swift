import Foundation
import MMoEData
import MMoEReport
import MMoETensor

/// Texts to token shards with what a person sees of it: `mmoe data tokenize`, and `mmoe train --task lm` before it starts.
package enum CorpusWork {
  /// The folder of shards for a text or a folder of shards.
  ///
  /// - Throws: `DataError` for a broken or empty text, and for shards that are damaged or of another tokenizer.
  package static func shards(
    for data: String, tokenizer: any Tokenizer, options: CorpusTokenizer.Options, cache: String, threads: Int?,
    sink: any TextSink
  ) throws -> String {
    try withProgress("tokenizing", sink) { progress in
      try CorpusPreparation.prepare(
        data: data, tokenizer: tokenizer, cache: cache, options: options, threads: threads,
        note: { sink.line($0) }, progress: progress)
    }
  }

  /// Writes a folder of shards and says what is in it.
  ///
  /// - Throws: `DataError` for a broken or empty text, or a folder that cannot be written.
  package static func tokenize(
    _ input: String, tokenizer: any Tokenizer, options: CorpusTokenizer.Options, to folder: String, threads: Int?,
    sink: any TextSink
  ) throws {
    let began = monotonicSeconds()
    let work = try CorpusTokenizer(input, tokenizer: tokenizer, options: options)
    let summary = try withProgress("tokenizing", sink) { try work.write(to: folder, threads: threads, progress: $0) }
    report(summary, folder, seconds: monotonicSeconds() - began, sink)
  }

  /// Writes a folder of shards from nanoGPT's files and says what is in it.
  ///
  /// - Throws: `DataError` for broken files, or a folder that cannot be written.
  package static func importTokens(
    _ input: String, _ vocabulary: TokenImport.Vocabulary, tokenBytes: Int, to folder: String, sink: any TextSink
  ) throws {
    let began = monotonicSeconds()
    let summary = try TokenImport.write(input, vocabulary, tokenBytes: tokenBytes, to: folder)
    report(summary, folder, seconds: monotonicSeconds() - began, sink)
  }

  private static func report(
    _ summary: CorpusTokenizer.Summary, _ folder: String, seconds: Double, _ sink: any TextSink
  ) {
    for part in summary.parts where part.tokens > 0 {
      let bytes = part.textBytes > 0 ? " of \(HumanFormat.grouped(part.textBytes)) bytes" : ""
      sink.line(
        "\(part.split.rawValue): \(HumanFormat.grouped(part.tokens)) tokens\(bytes), \(HumanFormat.grouped(part.documents)) documents, \(part.shards) shards"
      )
    }
    if let leftOut = summary.leftOut.text { sink.line(leftOut) }
    sink.line("\(folder) in \(HumanFormat.duration(seconds))")
  }

  /// Work that counts bytes; a person is shown thousands of them.
  package static func withProgress<Result>(
    _ label: String, _ sink: any TextSink, _ body: (@escaping (_ done: Int, _ total: Int) -> Void) throws -> Result
  ) rethrows -> Result {
    try PhaseProgress.during(label, unit: "kB", sink) { progress in
      try body { done, total in progress(done / 1000, max(total / 1000, 1)) }
    }
  }
}
