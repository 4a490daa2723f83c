import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// `mmoe retrieve`: what fits a text, a picture or a recording best, of every other modality.
package struct RetrieveSession {
  /// What is looked for.
  package enum Query: Sendable {
    case text(String)
    /// A file of a field of pairs, such as `image`.
    case file(field: String, path: String)
  }

  package struct Options: Sendable {
    /// A file or a run's folder; nil = the latest run.
    package var checkpoint: String?
    package var query = Query.text("")
    /// A folder of pictures to look among; nil = the validation part of pairs.
    package var images: String?
    /// A folder of pairs; `-` for those that come with the project; nil for those of the run.
    package var data: String?
    /// Answers of each modality.
    package var count = 10
    /// Where the contact sheet of pictures goes.
    package var sheet = "retrieved.png"
    package var threads: Int?
    /// Ranks that share out the experts; 0 = as many as ranks and experts allow.
    package var expertParallel = 0
    package var printsJSON = false
    package init() {}
  }

  /// What is looked among: files of one modality, or texts.
  private struct Gallery {
    /// What its members are called in the output, such as `images`.
    let plural: String
    /// What one of them is called, such as `image`.
    let field: String
    let members: [String]
    let vectors: [[Float]]
  }

  private let options: Options
  private let sinks: CommandSinks

  package init(_ options: Options, _ sinks: CommandSinks = .standard) { (self.options, self.sinks) = (options, sinks) }

  /// Prints the best answers of every modality, and draws pictures among them on one.
  ///
  /// - Throws: the first thing that is wrong, one line each.
  package func run() throws { try CommandRun.onRanks(sinks, printsJSON: options.printsJSON, retrieve) }

  private func retrieve(_ run: CommandRun) throws {
    let human = run.human
    let loaded = try LoadedPairModel(
      options.checkpoint, threads: options.threads, expertParallel: options.expertParallel, run)
    let embedder = PairEmbedder(
      model: loaded.model, tokens: loaded.tokens, engine: loaded.engine, batch: 64, team: loaded.team)
    let query = try vector(of: options.query, loaded, embedder)
    var fields: [String: JSONValue] = [:]
    var total = 0
    let galleries = try self.galleries(loaded, embedder, run)
    for gallery in galleries {
      let found = zip(gallery.members, gallery.vectors).map {
        (member: $0, similarity: PairEmbedder.similarity(query, $1))
      }
      if let bad = found.first(where: { !$0.similarity.isFinite }) {
        throw RunError(
          loaded.file, field: "the similarity of \(bad.member)", found: "\(HumanFormat.exact(bad.similarity))",
          expected: "a finite number", remedy: "the model has diverged, use an earlier checkpoint")
      }
      let best = found.sorted { ($1.similarity, $0.member) < ($0.similarity, $1.member) }.prefix(options.count)
      if galleries.count > 1 { human.line("\(gallery.plural) (of \(gallery.members.count))") }
      for (place, one) in best.enumerated() {
        human.line("\(place + 1)  \(HumanFormat.fixed(Double(one.similarity), 3))  \(one.member)")
      }
      if gallery.field == VisionModality().sample {
        if run.world.rank == 0 {
          try OutputCheck.requireOther([("--sheet", options.sheet)], than: gallery.members)
          let sheet = try ContactSheet().image(best.map { try RGBImage(contentsOf: $0.member) }).png()
          try DurableFile.write(sheet, to: options.sheet)
        }
        human.line("\(options.sheet): the best \(best.count) of \(gallery.members.count) pictures")
        fields["sheet"] = .string(options.sheet)
      }
      fields[gallery.plural] = .array(
        best.map { .object([gallery.field: .string($0.member), "similarity": .double(Double($0.similarity))]) })
      total += gallery.members.count
    }
    guard options.printsJSON else { return }
    switch options.query {
    case .text(let text): fields["query"] = .string(text)
    case .file(_, let path): fields["query"] = .string(path)
    }
    (fields["gallery"], fields["checkpoint"]) = (.int(total), .string(loaded.file))
    run.output.line(JSONValue.object(fields).line)
  }

  private func vector(of query: Query, _ loaded: LoadedPairModel, _ embedder: PairEmbedder) throws -> [Float] {
    switch query {
    case .text(let text):
      guard text.contains(where: { !$0.isWhitespace }) else {
        throw RunError(
          "the text '\(oneLine(text))'", found: "empty", expected: "words", remedy: "write what to look for")
      }
      let ids = try loaded.tokens.encode(text)
      guard !ids.isEmpty, ids.count < loaded.model.config.text.context else {
        throw RunError(
          "'\(text.prefix(40))': \(ids.count) tokens, expected 1 to \(loaded.model.config.text.context - 1); write another text"
        )
      }
      return try embedder.texts([ids], beforeBatch: {}).vectors[0]
    case .file(let field, let path):
      let config = loaded.model.config
      guard let modality = config.sampledModalities.first(where: { $0.sample == field }) else {
        throw RunError(
          loaded.file, found: "a model of \(config.fusion.modalities.joined(separator: " and "))",
          expected: "one that reads \(field)", remedy: "train one with fusion.modalities, or ask otherwise")
      }
      return try vectors(of: [path], modality, loaded, embedder)[0]
    }
  }

  /// Vectors of files of a modality.
  private func vectors(
    of files: [String], _ modality: any SampledModality, _ loaded: LoadedPairModel, _ embedder: PairEmbedder
  ) throws -> [[Float]] {
    try stride(from: 0, to: files.count, by: embedder.batch).flatMap { start in
      let part = Array(files[start..<min(start + embedder.batch, files.count)])
      return try embedder.samples(loaded.samples(part, of: modality), of: modality.name)
    }
  }

  /// All that can answer: the pictures of a folder, or what the validation part of pairs has of the other modalities.
  private func galleries(_ loaded: LoadedPairModel, _ embedder: PairEmbedder, _ run: CommandRun) throws -> [Gallery] {
    let config = loaded.model.config
    let asked: String? = if case .file(let field, _) = options.query { field } else { nil }
    func gallery(_ modality: any SampledModality, _ files: [String]) throws -> Gallery {
      Gallery(
        plural: SampleFormat.registry[modality.sample]?.plural ?? modality.sample, field: modality.sample,
        members: files, vectors: try vectors(of: files, modality, loaded, embedder))
    }
    if let images = options.images {
      guard let vision = config.sampledModalities.first(where: { $0.name == VisionModality.name }) else {
        throw RunError(
          loaded.file, found: "a model of \(config.fusion.modalities.joined(separator: " and "))",
          expected: "one that reads pictures", remedy: "leave --images out")
      }
      return [try gallery(vision, ImageFiles([images]).paths)]
    }
    let set = try pairs(loaded, run)
    var galleries = try config.sampledModalities.filter { $0.sample != asked }.compactMap { modality -> Gallery? in
      let files = set.items.flatMap { $0[modality.sample] }
      return files.isEmpty ? nil : try gallery(modality, files)
    }
    if asked != nil {
      var known: Set<String> = []
      let texts = set.items.flatMap(\.captions).filter { known.insert($0).inserted }
      let ids = try texts.map { Array(try loaded.tokens.encode($0).prefix(config.text.context - 1)) }
      galleries.append(
        Gallery(
          plural: "texts", field: "text", members: texts, vectors: try embedder.texts(ids, beforeBatch: {}).vectors))
    }
    guard !galleries.isEmpty else {
      throw RunError(
        set.items[0].place, found: "nothing of another modality in the held-out pairs", remedy: "name another --data")
    }
    return galleries
  }

  private func pairs(_ loaded: LoadedPairModel, _ run: CommandRun) throws -> PairSet {
    let config = loaded.checkpoint.info.config
    let choice = try DataChoice(options.data, for: loaded.checkpoint)
    let path = try run.firstRankFirst {
      try choice.path ?? ProjectHome.filling { try BuiltInPairs.prepare(for: config, sink: run.human) }
    }
    return try PairFolder(path: path, validationShare: config.data.validationShare)[.val]
  }
}
