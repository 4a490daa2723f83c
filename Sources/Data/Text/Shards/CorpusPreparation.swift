import Foundation
import MMoEFiles

/// From what `--data` names to token shards: training and evaluation read nothing else.
package enum CorpusPreparation {
  /// The folder of shards for a text; they are made in the cache where they are missing.
  ///
  /// A folder that holds shards already is used as it is. The cache's folder is named by the text's content, the options
  /// and the tokenizer: another text or tokenizer is another folder.
  ///
  /// - Parameters:
  ///   - data: a text file, a JSONL file, a folder of them, or a folder of shards.
  ///   - tokenizer: of the model; shards of another one are refused.
  ///   - cache: the folder for folders of shards.
  ///   - threads: as in `CorpusTokenizer.write`.
  ///   - note: called with a line before a text is tokenized.
  ///   - progress: called with the bytes read and their total while a text is tokenized.
  /// - Throws: `DataError` for a broken or empty text, and for shards that are damaged or of another tokenizer.
  package static func prepare(
    data: String, tokenizer: any Tokenizer, cache: String, options: CorpusTokenizer.Options = .init(),
    threads: Int? = nil, note: ((String) -> Void)? = nil, progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws -> String {
    if TokenCorpus.isShardFolder(data) {
      try check(data, tokenizer)
      return data
    }
    let work = try CorpusTokenizer(data, tokenizer: tokenizer, options: options)
    if let leftOut = work.leftOut.text { note?("note: \(data): \(leftOut)") }
    let key = try work.key(cache: cache)
    let folder = "\(cache)/\(shortened(FilePath.stem(of: data)))-\(key)"
    if TokenCorpus.isShardFolder(folder) {
      do {
        try check(folder, tokenizer)
        return folder
      } catch let error as DataError {
        throw DataError("\(error) (or remove the folder \(folder), which is made again)")
      }
    }
    note?("tokenizing \(data) with \(tokenizer.fingerprint) to \(folder)")
    do {
      try work.write(to: folder, threads: threads, progress: progress) { try requireSame(work, key, cache, data) }
    } catch {
      // Another process may have made the same shards meanwhile.
      guard TokenCorpus.isShardFolder(folder) else { throw error }
    }
    return folder
  }

  /// A byte-level BPE learned from the beginning of a text's training part, at most 64 MB; learned once and kept in the
  /// cache under the same name as the text's shards.
  ///
  /// - Parameters:
  ///   - vocabulary: tokens.
  ///   - note: called with a line before it is learned.
  /// - Throws: `DataError` for a broken or empty text, or an impossible vocabulary.
  package static func learnedTokenizer(
    data: String, vocabulary: Int, cache: String, options: CorpusTokenizer.Options = .init(),
    note: ((String) -> Void)? = nil
  ) throws -> BytePairTokenizer {
    let work = try CorpusTokenizer(data, tokenizer: ByteTokenizer(), options: options)
    let key = try work.key(cache: cache)
    let folder = "\(cache)/bpe-\(vocabulary)-\(key)"
    if FileManager.default.fileExists(atPath: folder) { return try TokenizerFiles.load(folder) }
    note?("learning a BPE of \(vocabulary) tokens from \(data)")
    var trainer = BytePairTrainer(try work.trainingText(limit: 64 << 20))
    let tokenizer = try trainer.train(vocabularySize: vocabulary)
    do {
      let staged = try StagedFolder(for: folder)
      try tokenizer.save(to: staged.path)
      try requireSame(work, key, cache, data)
      try staged.commit()
    } catch {
      // Another process may have learned the same one meanwhile.
      guard FileManager.default.fileExists(atPath: folder) else { throw error }
    }
    return try TokenizerFiles.load(folder)
  }

  /// What was made from a text that changed meanwhile must not be kept under the name of what the text was.
  private static func requireSame(_ work: CorpusTokenizer, _ key: String, _ cache: String, _ data: String) throws {
    guard try work.key(cache: cache) == key else {
      throw DataError(
        "\(data)", found: "has changed while it was read", remedy: "start again when nothing writes to it any more")
    }
  }

  /// A name that leaves room for what is added to it.
  private static func shortened(_ name: String) -> String {
    guard name.utf8.count > 64 else { return name }
    var result = ""
    for character in name where result.utf8.count + character.utf8.count <= 64 { result.append(character) }
    return result
  }

  /// Reading everything takes a fraction of a second up to this size; larger sets are checked by `mmoe data inspect`.
  private static let verifiedTokens = 250_000_000

  private static func check(_ folder: String, _ tokenizer: any Tokenizer) throws {
    for split in DatasetSplit.allCases where try !TokenCorpus.shardPaths(folder, split).isEmpty {
      let corpus = try TokenCorpus(folder, split: split, tokenizer: tokenizer)
      if corpus.tokens <= verifiedTokens { try corpus.verify() }
    }
  }
}
