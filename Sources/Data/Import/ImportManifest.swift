import Foundation
import MMoEFiles

/// Where the images of a folder come from: `manifest.json` in it.
struct ImportManifest {
  private let content: Content

  private struct Content: Encodable {
    struct Class: Encodable {
      let name: String
      let train: Int
      let val: Int
    }

    let source: String
    let layout: String
    /// XXH3-128 over the names and contents of all images that were read.
    let sourceDigest: String
    let license: String
    let size: Int?
    let resized: Int
    let validationShare: Double?
    let perClass: Int?
    let train: Int
    let val: Int
    let classes: [Class]
    let bad: [String]
    let leftOut: LeftOut
  }

  /// - Parameter splits: the part of every item; nil for images that could not be read.
  init(
    source: String, plan: ImportPlan, options: ImageImport.Options, splits: [DatasetSplit?], results: ImportJournal
  ) {
    let hasher = ContentHasher()
    var counts: [String: (train: Int, val: Int)] = [:]
    for (index, item) in plan.items.enumerated() {
      guard let split = splits[index], let content = results.content(of: index) else { continue }
      hasher.add("\(item.file) \(item.record ?? 0) \(content.name)")
      if split == .train {
        counts[item.className, default: (0, 0)].train += 1
      } else {
        counts[item.className, default: (0, 0)].val += 1
      }
    }
    content = Content(
      source: source, layout: plan.layout, sourceDigest: hasher.value.name, license: options.license ?? "not stated",
      size: options.size, resized: results.resized,
      validationShare: plan.isDivided ? nil : options.validationShare ?? 0.1, perClass: options.perClass,
      train: splits.count { $0 == .train }, val: splits.count { $0 == .val },
      classes: counts.map { Content.Class(name: $0.key, train: $0.value.train, val: $0.value.val) }
        .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) },
      bad: results.bad, leftOut: plan.leftOut)
  }

  var json: [UInt8] {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      encoder.keyEncodingStrategy = .convertToSnakeCase
      return [UInt8](try encoder.encode(content)) + [0x0A]
    }
  }
}
