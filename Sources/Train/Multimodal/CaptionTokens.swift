import Foundation
import MMoEData
import MMoEFiles
import MMoEReport

/// Captions as a model reads and says them: what begins a text also ends it.
package struct CaptionTokens: Sendable {
  /// What is tokenized of a caption.
  package static func text(of caption: String) -> String { " " + caption }

  package let tokenizer: any Tokenizer
  /// Begins and ends every caption.
  package let border: Int32

  /// - Throws: `DataError` for a tokenizer that has neither an end of text nor a line's.
  package init(_ tokenizer: any Tokenizer) throws {
    self.tokenizer = tokenizer
    border = try tokenizer.endOfText ?? tokenizer.encode("\n")[0]
  }

  /// - Throws: `DataError` for a byte that the vocabulary lacks.
  package func encode(_ caption: String) throws -> [Int32] {
    try tokenizer.encode(CaptionTokens.text(of: caption)).filter { $0 != border }
  }

  package func decode(_ ids: [Int32]) throws -> String {
    String(decoding: try tokenizer.decode(ids), as: UTF8.self).trimmingCharacters(in: .whitespaces)
  }

  /// The ids of all captions of a set. Of a longer caption its beginning is kept.
  ///
  /// - Parameter context: the longest text that the model reads; the border before the caption counts.
  /// - Throws: `TrainError` naming the line of a caption that the tokenizer has no tokens for.
  package func encode(_ set: PairSet, context: Int) throws -> [[[Int32]]] {
    try set.items.map { item in
      try item.captions.map { Array(try encode($0, at: item.place).prefix(context - 1)) }
    }
  }

  private func encode(_ caption: String, at place: String) throws -> [Int32] {
    do {
      return try encode(caption)
    } catch let error as DataError {
      throw TrainError(place, found: "the caption '\(caption.prefix(40))': \(error)")
    }
  }

  /// How many captions are longer than the model reads, and the first of them; nil = none.
  ///
  /// - Throws: as `encode`.
  func cutNote(_ sets: [PairSet], context: Int) throws -> String? {
    var cut: [(place: String, tokens: Int)] = []
    for item in sets.flatMap(\.items) {
      cut += try item.captions.map { try encode($0, at: item.place).count }.filter { $0 >= context }
        .map { (item.place, $0) }
    }
    guard let first = cut.first else { return nil }
    return
      "captions cut after \(context - 1) tokens (model.context is \(context)): \(cut.count), the first in \(first.place) with \(first.tokens)"
  }
}
