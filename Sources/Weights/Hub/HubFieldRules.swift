import MMoEData

/// What becomes of the fields of a `config.json` that give no size: those that change nothing are passed over, those that
/// can change the computation must have the value that leaves it as it is, and all others are refused by name.
enum HubFieldRules {
  /// - Parameter fields: of which all sizes and the like were read.
  /// - Throws: `DataError` naming a field whose value is not computed, or one that is not known.
  static func check(_ fields: JSONFields) throws {
    for (names, value) in neutral {
      for name in names {
        if let value { try fields.require(name, value) } else { try fields.require(name) }
      }
    }
    for (index, value) in try fields.list("layer_types").enumerated() where value != .text("full_attention") {
      throw fields.refuse("layer_types[\(index)]", value.description, "'full_attention', which is all that is computed")
    }
    fields.ignore(harmless)
    guard let field = fields.unread() else { return }
    throw fields.refuse(
      field, fields.found(field),
      "no such field: it is not known and may change what the model computes; remove it from the file if it does not")
  }

  /// Fields with the only value that is computed; nil: only without a value. Some are of other families, whose files are
  /// at times given the name of one that is known.
  private static let neutral: [(names: [String], value: JSONTree?)] = [
    (
      [
        "add_cross_attention", "is_encoder_decoder", "tie_encoder_decoder", "scale_attn_by_inverse_layer_idx", "alibi",
        "use_qk_norm", "qk_norm", "qk_layernorm", "use_sliding_window", "parallel_attn", "use_parallel_residual",
        "rope_interleaved", "rotary_interleaved", "use_mrope", "interpolate_pos_encoding", "scale_embedding",
        "attn_temperature_tuning",
      ], .flag(false)
    ),
    (["scale_attn_weights"], .flag(true)),
    // Tokens that GPT-1 had beside its vocabulary.
    (["n_special"], .whole(0)),
    (
      [
        "partial_rotary_factor", "rotary_pct", "embedding_multiplier", "residual_multiplier", "logits_scaling",
        "logit_scale", "lm_head_multiplier",
      ], .whole(1)
    ),
    (["pruned_heads", "auto_map"], .object([])),
    (
      [
        "attention_multiplier", "attn_logit_softcapping", "final_logit_softcapping", "clip_qkv", "quantization_config",
        "cross_attention_hidden_size",
      ], nil
    ),
  ]

  /// Where a model comes from, how it is trained (dropout, initial values, losses), how text is generated with it, and how
  /// a program runs it.
  private static let harmless = [
    "_name_or_path", "name_or_path", "_commit_hash", "architectures", "transformers_version", "transformers.js_config",
    "model_type", "dtype", "torch_dtype", "is_llama_config", "unsloth_version", "unsloth_fixed", "tokenizer_class",
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "unk_token_id", "cls_token_id", "mask_token_id",
    "decoder_start_token_id", "id2label", "label2id", "num_labels", "finetuning_task", "problem_type",
    "task_specific_params", "prefix", "is_decoder", "n_ctx", "_num_labels", "license", "base_model",
    "trust_remote_code", "predict_special_tokens",
    "image_mean", "image_std", "model_max_length", "max_sequence_length",
    // Training.
    "initializer_range", "initializer_factor", "logit_scale_init_value", "attention_dropout", "dropout", "attn_pdrop",
    "embd_pdrop", "resid_pdrop", "hidden_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob",
    "classifier_dropout", "router_aux_loss_coef", "router_jitter_noise", "output_router_logits",
    "gradient_checkpointing",
    "tf_legacy_loss", "label_smoothing", "neftune_noise_alpha",
    // Parts that are not imported, which no other part needs.
    "summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels", "summary_first_dropout",
    "pooler_act", "pooler_output_size", "encoder_stride",
    // Programs.
    "use_cache", "output_attentions", "output_hidden_states", "return_dict", "use_return_dict", "torchscript",
    "use_bfloat16", "chunk_size_feed_forward", "pretraining_tp", "reorder_and_upcast_attn", "attn_implementation",
    "_attn_implementation", "_attn_implementation_autoset", "_flash_attn_2_enabled", "_flash_attn_implementation",
    "use_flash_attention",
    "output_past", "logits_to_keep", "num_logits_to_keep", "max_window_layers", "onnx", "experts_implementation",
    // Generation.
    "max_length", "min_length", "max_new_tokens", "min_new_tokens", "do_sample", "early_stopping", "num_beams",
    "num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty",
    "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences",
    "output_scores", "return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values",
    "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens",
  ]
}
