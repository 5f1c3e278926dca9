#compdef kinspect

_kinspect_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _KINSPECT_COMPLETE=complete_zsh kinspect)
}

compdef _kinspect_completion kinspect
