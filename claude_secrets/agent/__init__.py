"""What an agent's call comes to: gate, consent, rate limits; and how an agent is recognised."""
