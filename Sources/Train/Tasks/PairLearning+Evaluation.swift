import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor

/// What a model makes of validation items.
extension PairLearning: ClassifyingTask {
  /// The labels; none where no modality has a head for them.
  package var classNames: [String] {
    config.model.sampledModalities.contains { $0.classHead != nil } ? vocabulary["labels"] ?? [] : []
  }

  package func evaluate(progress: ((_ done: Int, _ total: Int) -> Void)?) throws -> Evaluation {
    let found = try readValidation(progress)
    latest = found.predictions
    return try evaluation(of: found)
  }

  package func evaluationPicture() throws -> RGBImage? {
    try PredictionSheet.picture(ofEvaluation: latest, classes: classNames)
  }

  package func classify(
    progress: ((_ done: Int, _ total: Int) -> Void)?
  ) throws -> (evaluation: Evaluation, predictions: [ClassPrediction]) {
    let found = try readValidation(progress)
    return (try evaluation(of: found), found.predictions)
  }

  /// Captions of every validation item, retrieval within every gallery, labels.
  private func evaluation(of found: Found) throws -> Evaluation {
    guard found.captionLoss.isFinite else {
      return Evaluation(
        loss: found.captionLoss, metrics: [("caption_loss", found.captionLoss)], count: found.indices.count,
        skipped: validation.set.count - found.indices.count)
    }
    let embedder = PairEmbedder(model: fused, tokens: tokens, engine: engine, batch: microBatch, team: team)
    // The losses of texts are those of the first captions, as with images.
    let alone = try embedder.texts(
      found.indices.map { validation.captions[$0][0] }, beforeBatch: { try Interrupt.check(team) })
    var metrics: [(name: String, value: Double)] = [
      ("caption_loss", found.captionLoss), ("language_loss", alone.loss / Double(max(alone.count, 1))),
    ]
    if found.labeled > 0 { metrics.append(("top1", found.correct / Double(found.labeled))) }
    metrics += try galleries(found, embedder)
    if let mixture {
      metrics += try mixture.evaluate(fused, coordinator: team, beforeBatch: { try Interrupt.check(team) })
    }
    return Evaluation(
      loss: found.captionLoss, metrics: metrics, count: found.indices.count,
      skipped: validation.set.count - found.indices.count)
  }

  /// What the model made of the validation items.
  private struct Found {
    /// Of readable items.
    var indices: [Int] = []
    /// By modality: vectors of all files, with the place of each one's item in the set.
    var vectors: [String: [(item: Int, vector: [Float])]] = [:]
    /// By modality, the captions after a sample of it, with the item's place in the set; by no name those after all samples of
    /// an item.
    var captions: [String: [(item: Int, text: String)]] = [:]
    /// Mean over tokens.
    var captionLoss = 0.0
    var labeled = 0
    /// NaN once a logit was.
    var correct = 0.0
    var predictions: [ClassPrediction] = []
  }

  private func readValidation(_ progress: ((_ done: Int, _ total: Int) -> Void)?) throws -> Found {
    var found = Found()
    var (loss, count) = (0.0, 0)
    // Every rank reads everything: experts need all of them at every pass.
    var options = options(.none)
    (options.rank, options.ranks) = (0, 1)
    let loader = try PairLoader(validation.source, captions: validation.captions, options: options, order: .evaluation)
    while let batch = try loader.next() {
      try Interrupt.check(team)
      let read = PairPass(
        batch, tokens, [.caption, .contrastive, .classification], readsTextsAlone: false, model: config.model)
      try ForwardPass.evaluating(engine, team) { pass in
        let states = fused(read.packed, pass)
        let result = fused.nextTokenLoss(
          states, targets: read.targets(read.captions, batch, tokens), weight: 1, pass.tape)
        loss += result.losses.reduce(0.0) { $0 + Double($1) }
        count += result.losses.count
        for modality in config.model.sampledModalities {
          let name = modality.name
          let compared = read.compared[name] ?? .init()
          let pooled = fused.pooledRows(states, of: name, compared.numbers, pass.tape)
          let vectors = PairEmbedder.unitRows(fused.embeddings(pooled, of: name, pass.tape))
          found.vectors[name, default: []] += zip(compared.items, vectors).map {
            (item: batch.indices[$0.0], vector: $0.1)
          }
          let labeled = fused.pooledRows(states, of: name, read.labeledNumbers(of: name), pass.tape)
          if let logits = fused.classLogits(labeled, of: name, pass.tape) {
            // The loss takes the logits' memory.
            let best = ClassProbability.best(1, of: logits)
            let result = pass.tape.crossEntropy(logits, targets: read.labels(of: name, batch))
            found.labeled += result.counted
            found.correct += result.correct(top: 1)
            found.predictions += predictions(best, result, read, of: modality, batch)
          }
        }
      }
      // Of NaN nothing can be said.
      if loss.isFinite { try addCaptions(batch, to: &found) }
      found.indices += batch.indices
      progress?(found.indices.count, validation.set.count)
    }
    guard !found.indices.isEmpty else {
      throw TrainError(
        validation.set.items[0].place, found: "no readable validation item", remedy: "replace them")
    }
    found.captionLoss = loss / Double(max(count, 1))
    return found
  }

  /// What was found for samples of a modality that have a label.
  private func predictions(
    _ best: [[ClassProbability]?], _ result: CrossEntropyResult, _ read: PairPass, of modality: any SampledModality,
    _ batch: PairBatch
  ) -> [ClassPrediction] {
    (read.labeled[modality.name]?.items ?? []).enumerated().compactMap { row, item in
      guard batch.labels[item] >= 0, let found = best[row]?.first,
        let path = validation.set.items[batch.indices[item]][modality.sample].first
      else { return nil }
      return ClassPrediction(
        path: path, label: Int(batch.labels[item]), predicted: Int(found.label), probability: found.probability,
        loss: result.losses[row])
    }
  }

  private func addCaptions(_ batch: PairBatch, to found: inout Found) throws {
    let generator = CaptionGenerator(model: fused, tokens: tokens, engine: engine, team: team)
    for (name, places) in captionSources(batch) {
      for (place, samples) in places {
        found.captions[name, default: []].append(
          (item: batch.indices[place], text: try generator.caption(samples)))
      }
    }
  }

  private typealias CaptionSource = (place: Int, samples: [(modality: String, values: Tensor)])

  /// What captions of a batch are said after: each modality's samples alone, by its name, or all of an item together.
  private func captionSources(_ batch: PairBatch) -> [(name: String, places: [CaptionSource])] {
    let alone = config.model.sampledModalities.compactMap { modality -> (name: String, places: [CaptionSource])? in
      guard let own = batch.samples[modality.sample] else { return nil }
      return (
        modality.name,
        own.items.enumerated().map { (place: $1, samples: [(modality: modality.name, values: own.values.sample($0))]) }
      )
    }
    guard config.model.fusion.captions == .joint else { return alone }
    let joint = (0..<batch.count).map { place in
      (place: place, samples: alone.flatMap { $0.places.filter { $0.place == place }.flatMap(\.samples) })
    }
    return [("", joint)]
  }

  /// Captions, and recall of every modality by every other within every gallery; the first one's are the run's.
  private func galleries(_ found: Found, _ embedder: PairEmbedder) throws -> [(name: String, value: Double)] {
    let keys = try validation.set.identities()
    let readable = Set(found.indices)
    let vectors = try allVectors(found, embedder)
    var metrics: [(name: String, value: Double)] = []
    for (number, gallery) in validation.set.galleries.enumerated() {
      let members = gallery.members.filter(readable.contains)
      let inside = Set(members)
      let texts = members.flatMap { index in validation.captions[index].map { (item: index, ids: $0) } }
      let textVectors = try embedder.texts(
        texts.map(\.ids), beforeBatch: { try Interrupt.check(team) }
      ).vectors
      var sides = vectors.mapValues { side in side.filter { inside.contains($0.item) } }
      sides[LanguageModality.name] = zip(texts, textVectors).map { (item: $0.item, vector: $1) }
      let suffix = number == 0 ? "" : "_\(gallery.name)"
      let directions = Retrieval.directions(config.model)
      let ranks = directions.map { direction in
        Retrieval.ranks(of: sides[direction.query.name] ?? [], in: sides[direction.answer.name] ?? []) {
          keys[$0] == keys[$1]
        }
      }
      // Of data that lacks a modality, directions from or to it say nothing.
      let asked = ranks.filter { !$0.ranks.isEmpty }
      if number == 0, !asked.isEmpty {
        metrics.append(("recall_at_10", asked.reduce(0) { $0 + $1.recall(at: 10) } / Double(asked.count)))
      }
      for pair in stride(from: 0, to: directions.count, by: 2) {
        for k in PairBaselines.cutoffs {
          for index in [pair, pair + 1] where !ranks[index].ranks.isEmpty {
            metrics.append((directions[index].metric(at: k) + suffix, ranks[index].recall(at: k)))
          }
        }
      }
      metrics += captionMetrics(found, members, suffix: suffix)
      for modality in config.model.sampledModalities {
        let name = SampleFormat.registry[modality.sample]?.plural ?? modality.sample
        metrics.append(("gallery_\(name)\(suffix)", Double(sides[modality.name]?.count ?? 0)))
      }
      metrics.append(("gallery_texts\(suffix)", Double(texts.count)))
    }
    return metrics
  }

  /// The vectors of the validation items' files, those included that evaluation passed over because items have several.
  private func allVectors(_ found: Found, _ embedder: PairEmbedder) throws -> [String: [(item: Int, vector: [Float])]] {
    var vectors = found.vectors
    for modality in config.model.sampledModalities {
      let files = found.indices.flatMap { item in
        validation.set.items[item][modality.sample].indices.dropFirst().map { (item: item, file: $0) }
      }
      for start in stride(from: 0, to: files.count, by: embedder.batch) {
        try Interrupt.check(team)
        let part = Array(files[start..<min(start + embedder.batch, files.count)])
        let read = try validation.source.samples(
          modality.sample, part, normalization: config.data.pixelNormalization)
        guard !read.places.isEmpty else { continue }
        let own = try embedder.samples(read.values, of: modality.name)
        vectors[modality.name, default: []] += zip(read.places, own).map { (item: part[$0].item, vector: $1) }
      }
    }
    return vectors
  }

  /// How good captions are: after the first modality, or all together, under the names alone, after others with theirs before.
  private func captionMetrics(_ found: Found, _ members: [Int], suffix: String) -> [(name: String, value: Double)] {
    let isJoint = config.model.fusion.captions == .joint
    let sources = isJoint ? [("", "")] : config.model.sampledModalities.map { ($0.name, "\($0.sample)_") }
    var metrics: [(name: String, value: Double)] = []
    for (number, (name, prefix)) in sources.enumerated() {
      let said = Dictionary(uniqueKeysWithValues: (found.captions[name] ?? []).map { ($0.item, $0.text) })
      let own = members.filter { said[$0] != nil }
      guard !own.isEmpty else { continue }
      let scores = CaptionScores(own.map { said[$0]! }, references: own.map { validation.set.items[$0].captions })
      let start = number == 0 ? "" : prefix
      metrics += [
        ("\(start)caption_exact\(suffix)", scores.exactMatch), ("\(start)caption_f1\(suffix)", scores.tokenF1),
        ("\(start)caption_bleu4\(suffix)", scores.bleu4), ("\(start)caption_cider\(suffix)", scores.cider),
      ]
    }
    return metrics
  }

  /// What the model says about the first validation items.
  package func sample() throws -> String? {
    var options = options(.none)
    (options.rank, options.ranks, options.batchSize) = (0, 1, min(4, validation.set.count))
    let loader = try PairLoader(validation.source, captions: validation.captions, options: options, order: .evaluation)
    guard let batch = try loader.next(), let source = captionSources(batch).first else { return nil }
    let generator = CaptionGenerator(model: fused, tokens: tokens, engine: engine, team: team)
    return try source.places.map { place, samples in
      let said = try generator.caption(samples)
      let known = validation.set.items[batch.indices[place]].captions[0]
      return "\(String(reflecting: known)) → \(String(reflecting: said))"
    }.joined(separator: ", ")
  }
}
