import Foundation
import MMoEData
import MMoEModels

/// Arrays that follow the input or the output of a model, fitted to another one.
enum ArrayResizing {
  /// A resized array, and how in words.
  struct Result {
    let values: [Float]
    let note: String
  }

  // MARK: Positions

  /// Learned positions of a grid of patches for another grid, by bicubic interpolation as for images (Dosovitskiy et al.,
  /// arXiv 2010.11929); the class token's row is kept.
  ///
  /// - Parameters:
  ///   - values: `[T, d]`.
  ///   - fresh: of the new model, whose class token's row stays where the source has none.
  static func grid(
    _ values: [Float], from source: VisionConfig, to target: VisionConfig, width: Int, fresh: [Float]
  ) -> Result {
    let (old, new) = (source.image / source.patch, target.image / target.patch)
    let body = Array(values.dropFirst(source.classToken ? width : 0))
    // Along columns first, then along rows: [old, old, d] → [old, new, d] → [new, new, d].
    let across = resample(body, outer: old, from: old, to: new, inner: width)
    let all = resample(across, outer: 1, from: old, to: new, inner: new * width)
    let token =
      target.classToken ? (source.classToken ? Array(values[..<width]) : Array(fresh[..<width])) : []
    return Result(values: token + all, note: "\(old) x \(old) positions interpolated to \(new) x \(new)")
  }

  /// Learned positions of a window for another one: the first ones of a shorter window, interpolated ones for a longer.
  static func positions(_ values: [Float], from old: Int, to new: Int, width: Int) -> Result {
    if new <= old {
      return Result(values: Array(values[..<(new * width)]), note: "the first \(new) of \(old) positions")
    }
    return Result(
      values: resample(values, outer: 1, from: old, to: new, inner: width),
      note: "\(old) positions interpolated to \(new)")
  }

  /// Cubic interpolation along the middle axis of `[outer, old, inner]`, borders repeated, points at cell centers.
  private static func resample(_ values: [Float], outer: Int, from old: Int, to new: Int, inner: Int) -> [Float] {
    guard old != new else { return values }
    var result = [Float](repeating: 0, count: outer * new * inner)
    for j in 0..<new {
      let place = (Double(j) + 0.5) * Double(old) / Double(new) - 0.5
      let first = Int(place.rounded(.down)) - 1
      for tap in 0..<4 {
        let weight = Float(cubic(place - Double(first + tap)))
        let i = min(max(first + tap, 0), old - 1)
        for o in 0..<outer {
          let (from, to) = ((o * old + i) * inner, (o * new + j) * inner)
          for c in 0..<inner { result[to + c] += weight * values[from + c] }
        }
      }
    }
    return result
  }

  /// Keys' kernel with a = −1/2, which keeps linear functions what they are.
  private static func cubic(_ distance: Double) -> Double {
    let (x, a) = (abs(distance), -0.5)
    if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
  }

  // MARK: Rows with names

  /// Rows of a head by their classes' names: those of classes that both know, fresh ones for the others.
  ///
  /// - Returns: nil where no class is known.
  static func classes(
    _ values: [Float], from source: [String], to target: [String], fresh: [Float]
  ) -> Result? {
    let columns = fresh.count / max(target.count, 1)
    let places = Dictionary(source.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    var (result, kept) = (fresh, 0)
    for (row, name) in target.enumerated() {
      guard let place = places[name], (place + 1) * columns <= values.count else { continue }
      result.replaceSubrange(row * columns..<(row + 1) * columns, with: values[place * columns..<(place + 1) * columns])
      kept += 1
    }
    return kept == 0 ? nil : Result(values: result, note: "\(kept) of \(target.count) classes kept, the others fresh")
  }

  /// The first rows of a table of the same tokens: those that only the new one has are fresh.
  static func rows(_ values: [Float], fresh: [Float], width: Int) -> Result {
    let kept = min(values.count, fresh.count)
    return Result(
      values: Array(values[..<kept] + fresh[kept...]),
      note: "the first \(kept / width) of \(values.count / width) rows kept, \((fresh.count - kept) / width) fresh")
  }

  /// Rows of a token table by the tokens' bytes. A token that only the new vocabulary has starts at the mean of the rows of
  /// those tokens that the old one writes it with.
  ///
  /// - Parameter fresh: of the new model, kept for special tokens that the old vocabulary does not have.
  /// - Throws: `DataError` for a tokenizer with gaps.
  static func tokens(
    _ values: [Float], rows: Int, from source: any Tokenizer, to target: any Tokenizer, fresh: [Float], width: Int
  ) throws -> Result {
    var places: [[UInt8]: Int] = [:]
    for id in 0..<min(rows, source.vocabularySize) where !source.isSpecial(Int32(id)) {
      places[try source.bytes(of: Int32(id))] = id
    }
    var result = fresh
    var (kept, averaged) = (0, 0)
    for id in 0..<target.vocabularySize {
      let at = id * width
      if target.isSpecial(Int32(id)) {
        guard target.endOfText == Int32(id), let end = source.endOfText, Int(end) < rows else { continue }
        result.replaceSubrange(at..<at + width, with: values[Int(end) * width..<(Int(end) + 1) * width])
        kept += 1
        continue
      }
      let bytes = try target.bytes(of: Int32(id))
      if let place = places[bytes] {
        result.replaceSubrange(at..<at + width, with: values[place * width..<(place + 1) * width])
        kept += 1
        continue
      }
      // A token that the old ones cannot spell stays as it was drawn.
      let pieces = ((try? source.encode(bytes)) ?? []).map(Int.init).filter { $0 < rows }
      guard !pieces.isEmpty else { continue }
      for c in 0..<width {
        result[at + c] = pieces.reduce(0) { $0 + values[$1 * width + c] } / Float(pieces.count)
      }
      averaged += 1
    }
    return Result(
      values: result,
      note: "\(kept) of \(target.vocabularySize) tokens kept, \(averaged) averaged from the old tokens that spell them")
  }

  /// Rows of a gate for another number of experts, as the experts themselves are copied or averaged.
  static func gate(_ values: [Float], from own: Int, to experts: Int) -> Result {
    let width = values.count / own
    var result: [Float] = []
    for expert in 0..<experts {
      let origins = DerivedSource.origins(of: expert, of: experts, among: own)
      result += (0..<width).map { c in
        origins.reduce(0) { $0 + values[$1 * width + c] } / Float(origins.count)
      }
    }
    return Result(values: result, note: "\(own) experts' rows \(experts > own ? "copied" : "averaged") for \(experts)")
  }
}
